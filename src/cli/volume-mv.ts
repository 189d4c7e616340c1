import { renameVolume } from "../client/volumes.ts";
import { command } from "./command.ts";

/** `volume mv`: gives a volume another name, in the containers that have it, too. */
export const volumeMv = command({
  usage: "VOLUME NEW_NAME",
  args: 2,
  flags: {},
  async run({ args, app }) {
    const [name = "", to = ""] = args;
    await renameVolume(await app.connection(), name, to);
  },
});
