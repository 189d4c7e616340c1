import { pauseContainer } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { each } from "./each.ts";

/** `pause`: freezes all processes of containers. */
export const pause = command({
  usage: "CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags: {},
  async run({ args, app }) {
    const connection = await app.connection();
    await each(app, args, (name) => pauseContainer(connection, name));
  },
});
