import { kindOf, messageOf } from "../base/errors.ts";
import { removeNetwork } from "../client/networks.ts";
import { command, MANY } from "./command.ts";
import { bool } from "./flags.ts";

/** `network rm`: removes networks. */
export const networkRm = command({
  usage: "NETWORK [NETWORK...]",
  args: [1, MANY],
  flags: { force: bool("It is no failure that a network does not exist", "f") },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    let code = 0;
    for (const name of args) {
      try {
        await removeNetwork(connection, name);
        app.out(`${name}\n`);
      } catch (error) {
        if (flags.force && kindOf(error) === "not-found") continue;
        app.err(`${messageOf(error)}\n`);
        code = 1;
      }
    }
    if (code !== 0) app.err("exit status 1\n");
    return code;
  },
});
