import { saveImages } from "../client/images.ts";
import { command, MANY } from "./command.ts";
import { string, strings } from "./flags.ts";
import { saveStream } from "./save-stream.ts";

/** `save`: writes images as a tar archive. */
export const save = command({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  args: [1, MANY],
  flags: {
    output: string("Write to this file, not to standard output", "o"),
    platform: strings("Write the parts for this platform only"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    await saveStream(flags.output, "save", () => saveImages(connection, args, flags.platform));
  },
});
