import { inspectVolume as requestInspect } from "../client/volumes.ts";
import { command, MANY } from "./command.ts";
import { string } from "./flags.ts";
import { inspectObjects } from "./inspect-objects.ts";

/** `volume inspect`: shows everything about volumes. */
export const volumeInspect = command({
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  args: [1, MANY],
  flags: {
    format: string("How to show it: 'json' or a Go template", "f"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    return inspectObjects(app, args, flags.format, (name) => requestInspect(connection, name));
  },
});
