import { killContainer } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { each } from "./each.ts";
import { string } from "./flags.ts";

/** `kill`: sends a signal to containers. */
export const kill = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags: { signal: string("Signal to send", "s") },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    await each(app, args, (name) => killContainer(connection, name, flags.signal));
  },
});
