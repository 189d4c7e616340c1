import { stopContainer } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { each } from "./each.ts";
import { stopFlags, stopOptions } from "./stop-flags.ts";

/** `stop`: asks containers to end, and kills them when they do not in time. */
export const stop = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags: stopFlags,
  async run({ flags, given, args, app }) {
    const connection = await app.connection();
    await each(app, args, (name) => stopContainer(connection, name, stopOptions(flags, given("timeout"))));
  },
});
