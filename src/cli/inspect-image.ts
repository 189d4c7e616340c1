import { inspectImage as requestInspect } from "../client/images.ts";
import { command, MANY } from "./command.ts";
import { string } from "./flags.ts";
import { inspectObjects } from "./inspect-objects.ts";

/** `image inspect`: shows everything about images. */
export const inspectImage = command({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  args: [1, MANY],
  flags: {
    format: string("How to show it: 'json' or a Go template", "f"),
    platform: string("Show this platform of the image (os/arch/variant)"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    return inspectObjects(app, args, flags.format, (name) => requestInspect(connection, name, { platform: flags.platform }));
  },
});
