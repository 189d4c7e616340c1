import { familiarReference, formatReference, parseReference } from "../base/reference.ts";
import { LighterError } from "../base/errors.ts";
import { command } from "./command.ts";
import { bool, string } from "./flags.ts";
import { progressOn, pullReference } from "./pull-image.ts";

const flags = {
  "all-tags": bool("Pull every tag of the repository", "a"),
  "disable-content-trust": { ...bool("Has no effect", { initial: true }), hidden: true },
  platform: string("Platform of the image (os/arch/variant)"),
  quiet: bool("Do not show progress", "q"),
};

/** `pull`: fetches an image from a registry. */
export const pull = command({
  usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
  args: 1,
  flags,
  async run({ flags, args, app }) {
    const [name = ""] = args;
    const reference = parseReference(name);
    const named = /@|:[^/]*$/.test(name);
    if (flags["all-tags"]) {
      if (named) throw new LighterError("invalid", "tag can't be used with --all-tags/-a");
      delete reference.tag;
    } else if (!named && !flags.quiet) app.out(`Using default tag: ${reference.tag}\n`);
    await pullReference(app, reference, { platform: flags.platform, output: flags.quiet ? undefined : progressOn(1) });
    app.out(`${flags["all-tags"] ? familiarReference(reference) : formatReference(reference)}\n`);
  },
});
