import { inspectContainer as requestInspect } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { bool, string } from "./flags.ts";
import { inspectObjects } from "./inspect-objects.ts";

/** `container inspect`: shows everything about containers. */
export const inspectContainer = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags: {
    format: string("How to show it: 'json' or a Go template", "f"),
    size: bool("Show how much disk space it uses", "s"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    return inspectObjects(app, args, flags.format, (name) => requestInspect(connection, name, { size: flags.size }));
  },
});
