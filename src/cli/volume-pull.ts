import { parseReference } from "../base/reference.ts";
import { pullVolume } from "../client/volumes.ts";
import { command } from "./command.ts";
import { registryAuth } from "./credentials.ts";
import { bool } from "./flags.ts";
import { showProgress } from "./progress.ts";
import { progressOn } from "./pull-image.ts";

/** `volume pull`: makes a volume of what `volume push` sent to a registry. */
export const volumePull = command({
  usage: "[OPTIONS] NAME[:TAG|@DIGEST] [VOLUME]",
  args: [1, 2],
  flags: {
    force: bool("Put the files in the place of those that the volume has", "f"),
    quiet: bool("Do not show progress", "q"),
  },
  async run({ flags, args, app }) {
    const [reference = "", name] = args;
    const auth = await registryAuth(app, parseReference(reference).registry);
    const answer = await pullVolume(await app.connection(), reference, { name, force: flags.force, auth });
    let made = name ?? "";
    const aux = (value: unknown): void => void (made = (value as { Name?: string }).Name ?? made);
    const quiet = { write: () => {}, terminal: false, columns: 200 };
    if (answer.body) await showProgress(answer.body, { ...(flags.quiet ? quiet : progressOn(1)), aux });
    app.out(`${made}\n`);
  },
});
