import { unpauseContainer } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { each } from "./each.ts";

/** `unpause`: lets frozen containers go on. */
export const unpause = command({
  usage: "CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags: {},
  async run({ args, app }) {
    const connection = await app.connection();
    await each(app, args, (name) => unpauseContainer(connection, name));
  },
});
