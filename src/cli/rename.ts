import { renameContainer } from "../client/containers.ts";
import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { command } from "./command.ts";

/** `rename`: gives a container another name. */
export const rename = command({
  usage: "CONTAINER NEW_NAME",
  args: 2,
  flags: {},
  async run({ args, app }) {
    const [old = "", name = ""] = args.map((arg) => arg.trim());
    if (old === "" || name === "") throw new LighterError("invalid", "Error: Neither old nor new names may be empty");
    try {
      await renameContainer(await app.connection(), old, name);
    } catch (error) {
      app.err(`${messageOf(error)}\n`);
      throw new LighterError(kindOf(error), `Error: failed to rename container named ${old}`, { cause: error });
    }
  },
});
