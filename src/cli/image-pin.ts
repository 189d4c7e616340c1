import { addPin, listPins } from "../client/gc.ts";
import { command, MANY } from "./command.ts";
import { each } from "./each.ts";

/** `image pin`: adds pins; without names shows them all. */
export const imagePin = command({
  usage: "[PATTERN...]",
  args: [0, MANY],
  flags: {},
  async run({ args, app }) {
    const connection = await app.connection();
    if (args.length > 0) return each(app, args, (pattern) => addPin(connection, pattern));
    app.out((await listPins(connection)).map((pattern) => `${pattern}\n`).join(""));
  },
});
