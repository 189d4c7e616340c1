import { restartContainer } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { each } from "./each.ts";
import { stopFlags, stopOptions } from "./stop-flags.ts";

/** `restart`: ends containers as `stop` does and starts them again. */
export const restart = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags: stopFlags,
  async run({ flags, given, args, app }) {
    const connection = await app.connection();
    await each(app, args, (name) => restartContainer(connection, name, stopOptions(flags, given("timeout"))));
  },
});
