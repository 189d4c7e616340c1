import { familiarName, parseReference } from "../base/reference.ts";
import { LighterError } from "../base/errors.ts";
import { importImage as requestImport } from "../client/images.ts";
import { command } from "./command.ts";
import { list, string } from "./flags.ts";
import { inputStream } from "./input-stream.ts";
import { showProgress } from "./progress.ts";
import { progressOn } from "./pull-image.ts";

/** `import`: makes an image from a tar archive of a file system. */
export const importImage = command({
  usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  args: [1, 2],
  flags: {
    change: list("Apply a Dockerfile instruction to the image", "c"),
    message: string("Remark for the image's history", "m"),
    platform: string("Platform of the image (os/arch/variant)"),
  },
  async run({ flags, args, app }) {
    const [source = "", name] = args;
    const reference = name === undefined ? undefined : parseReference(name);
    if (reference?.digest !== undefined) throw new LighterError("invalid", "cannot import digest reference");
    const remote = /^https?:\/\//.test(source);
    const options = {
      source: remote ? source : "-",
      repo: reference ? familiarName(reference) : "",
      tag: reference?.tag ?? "",
      message: flags.message,
      platform: flags.platform,
      changes: flags.change,
    };
    const body = remote ? undefined : await inputStream(source);
    const answer = await requestImport(await app.connection(), options, body);
    if (answer.body) await showProgress(answer.body, progressOn(1));
  },
});
