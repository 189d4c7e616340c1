import { LighterError, messageOf } from "../base/errors.ts";
import { waitContainer } from "../client/containers.ts";
import { command, MANY } from "./command.ts";

/** `wait`: waits until containers end and prints their exit codes. */
export const wait = command({
  usage: "CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags: {},
  async run({ args, app }) {
    const connection = await app.connection();
    const errors: string[] = [];
    for (const name of args) {
      try {
        const { result } = await waitContainer(connection, name);
        const { StatusCode, Error: reason } = await result;
        if (reason?.Message) errors.push(reason.Message);
        else app.out(`${StatusCode}\n`);
      } catch (error) {
        errors.push(messageOf(error));
      }
    }
    if (errors.length > 0) throw new LighterError("not-found", errors.join("\n"));
  },
});
