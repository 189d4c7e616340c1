import { isTerminal } from "./is-terminal.ts";
import { LighterError } from "../base/errors.ts";
import { loadImages } from "../client/images.ts";
import { command } from "./command.ts";
import { bool, string, strings } from "./flags.ts";
import { inputStream } from "./input-stream.ts";
import { progressOn } from "./pull-image.ts";
import { showProgress } from "./progress.ts";

/** `load`: loads images from a tar archive. */
export const load = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    input: string("Read from this file, not from standard input", "i"),
    platform: strings("Load the parts for this platform only"),
    quiet: bool("Do not show progress", "q"),
  },
  async run({ flags, app }) {
    if (flags.input === "" && isTerminal(0)) throw new LighterError("invalid", "requested load from stdin, but stdin is empty");
    const output = progressOn(1);
    const quiet = flags.quiet || !output.terminal;
    const body = await inputStream(flags.input);
    const answer = await loadImages(await app.connection(), body, { quiet, platforms: flags.platform });
    if (answer.body) await showProgress(answer.body, output);
  },
});
