import { renameContainer } from "../client/containers.ts";
import { LighterError } from "../base/errors.ts";
import { command } from "./command.ts";

/** `rename`: gives a container another name. */
export const rename = command({
  usage: "CONTAINER NEW_NAME",
  args: 2,
  flags: {},
  async run({ args, app }) {
    const [old = "", name = ""] = args.map((arg) => arg.trim());
    if (old === "" || name === "") throw new LighterError("invalid", "Error: Neither old nor new names may be empty");
    await renameContainer(await app.connection(), old, name);
  },
});
