import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { removeImage } from "../client/images.ts";
import { command, MANY } from "./command.ts";
import { bool, strings } from "./flags.ts";

/** `rmi`, `image rm`: removes images. */
export const rmi = command({
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  args: [1, MANY],
  flags: {
    force: bool("Remove it also where a stopped container or several names hold it", "f"),
    "no-prune": bool("Keep parents that have no name"),
    platform: strings("Remove the parts for this platform only"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    const errors: unknown[] = [];
    for (const name of args) {
      try {
        const removed = await removeImage(connection, name, { force: flags.force, noPrune: flags["no-prune"], platforms: flags.platform });
        app.out(removed.map(({ Deleted, Untagged }) => (Deleted ? `Deleted: ${Deleted}\n` : `Untagged: ${Untagged}\n`)).join(""));
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length === 0) return 0;
    const text = errors.map(messageOf).join("\n");
    if (!flags.force || errors.some((error) => kindOf(error) !== "not-found")) throw new LighterError("conflict", text);
    app.err(`${text}\n`);
    return 0;
  },
});
