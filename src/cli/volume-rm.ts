import { removeVolume } from "../client/volumes.ts";
import { command, MANY } from "./command.ts";
import { each } from "./each.ts";
import { bool } from "./flags.ts";

/** `volume rm`: removes volumes. */
export const volumeRm = command({
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  args: [1, MANY],
  flags: { force: bool("It is no failure that a volume does not exist", "f") },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    await each(app, args, (name) => removeVolume(connection, name, flags.force));
  },
});
