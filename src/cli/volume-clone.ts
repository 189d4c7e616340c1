import { cloneVolume } from "../client/volumes.ts";
import { command } from "./command.ts";
import { bool } from "./flags.ts";

/** `volume clone`: makes a volume with the files, labels and options of another. */
export const volumeClone = command({
  usage: "[OPTIONS] VOLUME NEW_VOLUME",
  args: 2,
  flags: { pause: bool("Let containers that run with it stand still while its files are copied") },
  async run({ flags, args, app }) {
    const [name = "", to = ""] = args;
    const { Name } = await cloneVolume(await app.connection(), name, to, { pause: flags.pause });
    app.out(`${Name}\n`);
  },
});
