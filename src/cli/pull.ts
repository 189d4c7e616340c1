import { readFile } from "node:fs/promises";
import { familiarReference, formatReference, parseReference } from "../base/reference.ts";
import { LighterError, messageOf } from "../base/errors.ts";
import { command } from "./command.ts";
import { bool, list, string } from "./flags.ts";
import { progressOn, pullReference } from "./pull-image.ts";

const flags = {
  "all-tags": bool("Pull every tag of the repository", "a"),
  "disable-content-trust": { ...bool("Has no effect", { initial: true }), hidden: true },
  platform: string("Platform of the image (os/arch/variant)"),
  quiet: bool("Do not show progress", "q"),
  verify: bool("Pull only what is signed: with a key of the daemon's policy, or one of --verify-key"),
  "verify-key": list("File of a public key that the image must be signed with (PEM); implies --verify"),
};

/** `pull`: fetches an image from a registry. */
export const pull = command({
  usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
  args: 1,
  flags,
  async run({ flags, args, app }) {
    const [name = ""] = args;
    if (name.startsWith("ssh://")) return (await import("./over-ssh.ts")).overSsh(app, "pull", name, flags);
    const reference = parseReference(name);
    const named = /@|:[^/]*$/.test(name);
    if (flags["all-tags"]) {
      if (named) throw new LighterError("invalid", "tag can't be used with --all-tags/-a");
      delete reference.tag;
    } else if (!named && !flags.quiet) app.out(`Using default tag: ${reference.tag}\n`);
    const verify = flags.verify || flags["verify-key"].length > 0 ? { verify: await readKeys(flags["verify-key"]) } : {};
    await pullReference(app, reference, { platform: flags.platform, output: flags.quiet ? undefined : progressOn(1), ...verify });
    app.out(`${flags["all-tags"] ? familiarReference(reference) : formatReference(reference)}\n`);
  },
});

/** Keys lie on the user's machine; the daemon gets their text. */
function readKeys(files: readonly string[]): Promise<string[]> {
  return Promise.all(
    files.map((file) =>
      readFile(file, "utf8").catch((cause: unknown) => {
        throw new LighterError("invalid", `Cannot read the key "${file}": ${messageOf(cause)}`, { cause });
      }),
    ),
  );
}
