import { LighterError } from "../base/errors.ts";
import { formatReference, parseReference } from "../base/reference.ts";
import { pushImage } from "../client/images.ts";
import { command } from "./command.ts";
import { registryAuth } from "./credentials.ts";
import { bool, string } from "./flags.ts";
import { showProgress } from "./progress.ts";
import { progressOn } from "./pull-image.ts";
import { noteOf, noteText, ONE_PLATFORM } from "./push-notes.ts";

/** `push`: sends an image to a registry. */
export const push = command({
  usage: "[OPTIONS] NAME[:TAG]",
  args: 1,
  flags: {
    "all-tags": bool("Send every tag of the repository", "a"),
    "disable-content-trust": { ...bool("Has no effect", { initial: true }), hidden: true },
    platform: string("Send this platform of the image only (os/arch/variant)"),
    quiet: bool("Do not show progress", "q"),
  },
  async run({ flags, args, app }) {
    const [name = ""] = args;
    if (name.startsWith("ssh://")) return (await import("./over-ssh.ts")).overSsh(app, "push", name, flags);
    const reference = parseReference(name);
    const { registry, repository, digest, tag } = reference;
    const named = /:[^/]*$/.test(name);
    if (digest !== undefined) throw new LighterError("invalid", "cannot push a digest reference");
    if (flags["all-tags"] && named) throw new LighterError("invalid", "tag can't be used with --all-tags/-a");
    if (!flags["all-tags"] && !named && !flags.quiet) app.out(`Using default tag: ${tag}\n`);
    if (flags.platform !== "") app.out(`${noteText(ONE_PLATFORM)}\n`);
    const auth = await registryAuth(app, registry);
    const image = { name: formatReference({ registry, repository }), tag: flags["all-tags"] ? "" : (tag ?? "") };
    const platform = flags.platform === "" ? "" : platformJson(flags.platform);
    const answer = await pushImage(await app.connection(), image, { platform, ...(auth !== undefined && { auth }) });
    const notes: string[][] = [];
    const output = flags.quiet ? { write: () => {}, terminal: false, columns: 200 } : progressOn(1);
    const aux = (value: unknown): void => void notes.push(...[noteOf(value)].filter((note) => note !== undefined));
    if (answer.body) await showProgress(answer.body, { ...output, aux });
    if (flags.quiet) app.out(`${formatReference(reference)}\n`);
    for (const note of notes) app.out(noteText(note));
  },
});

function platformJson(text: string): string {
  const [os = "", architecture = "", variant] = text.split("/");
  return JSON.stringify({ os, architecture, ...(variant !== undefined && { variant }) });
}
