import { removePin } from "../client/gc.ts";
import { command, MANY } from "./command.ts";
import { each } from "./each.ts";

/** `image unpin`: takes pins away. */
export const imageUnpin = command({
  usage: "PATTERN [PATTERN...]",
  args: [1, MANY],
  flags: {},
  async run({ args, app }) {
    const connection = await app.connection();
    await each(app, args, (pattern) => removePin(connection, pattern));
  },
});
