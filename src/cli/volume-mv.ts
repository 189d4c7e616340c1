import { renameVolume } from "../client/volumes.ts";
import { command } from "./command.ts";

/** `volume mv`: gives a volume that no container has another name. */
export const volumeMv = command({
  usage: "VOLUME NEW_NAME",
  args: 2,
  flags: {},
  async run({ args, app }) {
    const [name = "", to = ""] = args;
    await renameVolume(await app.connection(), name, to);
  },
});
