import { readFile } from "node:fs/promises";
import { familiarReference, formatReference, parseReference } from "../base/reference.ts";
import { LighterError, messageOf } from "../base/errors.ts";
import { systemVersion } from "../client/system.ts";
import type { App } from "./app.ts";
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
    if (name.startsWith("ssh://") && (flags.verify || flags["verify-key"].length > 0))
      throw new LighterError("unsupported", "Cannot verify signatures over ssh: what comes from another engine has none");
    if (name.startsWith("ssh://")) return (await import("./over-ssh.ts")).overSsh(app, "pull", name, flags);
    const reference = parseReference(name);
    const named = /@|:[^/]*$/.test(name);
    if (flags["all-tags"]) {
      if (named) throw new LighterError("invalid", "tag can't be used with --all-tags/-a");
      delete reference.tag;
    } else if (!named && !flags.quiet) app.out(`Using default tag: ${reference.tag}\n`);
    const verify = flags.verify || flags["verify-key"].length > 0 ? { verify: await keysToVerify(app, flags["verify-key"]) } : {};
    await pullReference(app, reference, { platform: flags.platform, output: flags.quiet ? undefined : progressOn(1), ...verify });
    app.out(`${flags["all-tags"] ? familiarReference(reference) : formatReference(reference)}\n`);
  },
});

/** The keys, which lie on the user's machine, as text. Another daemon would leave the wish aside and pull: that is refused. */
async function keysToVerify(app: App, files: readonly string[]): Promise<string[]> {
  const keys = files.map((file) =>
    readFile(file, "utf8").catch((cause: unknown) => {
      throw new LighterError("invalid", `Cannot read the key "${file}": ${messageOf(cause)}`, { cause });
    }),
  );
  const texts = await Promise.all(keys);
  const { Platform } = await systemVersion(await app.connection());
  if (Platform?.Name !== "Lighter") throw new LighterError("unsupported", "Cannot verify signatures: the daemon is not Lighter");
  return texts;
}
