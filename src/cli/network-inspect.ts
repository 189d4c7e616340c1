import { inspectNetwork as requestInspect } from "../client/networks.ts";
import { command, MANY } from "./command.ts";
import { bool, string } from "./flags.ts";
import { inspectObjects } from "./inspect-objects.ts";

/** `network inspect`: shows everything about networks. */
export const networkInspect = command({
  usage: "[OPTIONS] NETWORK [NETWORK...]",
  args: [1, MANY],
  flags: {
    format: string("How to show it: 'json' or a Go template", "f"),
    verbose: bool("Show more for diagnosis", "v"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    return inspectObjects(app, args, flags.format, (name) => requestInspect(connection, name, { verbose: flags.verbose }));
  },
});
