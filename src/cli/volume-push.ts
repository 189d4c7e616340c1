import { parseReference } from "../base/reference.ts";
import { pushVolume } from "../client/volumes.ts";
import { command } from "./command.ts";
import { registryAuth } from "./credentials.ts";
import { bool } from "./flags.ts";
import { showProgress } from "./progress.ts";
import { progressOn } from "./pull-image.ts";

/** `volume push`: sends a volume's files, labels and options to a registry. */
export const volumePush = command({
  usage: "[OPTIONS] VOLUME NAME[:TAG]",
  args: 2,
  flags: {
    pause: bool("Let containers that run with it stand still while its files are copied"),
    quiet: bool("Do not show progress", "q"),
  },
  async run({ flags, args, app }) {
    const [name = "", reference = ""] = args;
    const auth = await registryAuth(app, parseReference(reference).registry);
    const answer = await pushVolume(await app.connection(), name, reference, { pause: flags.pause, auth });
    const quiet = { write: () => {}, terminal: false, columns: 200 };
    if (answer.body) await showProgress(answer.body, flags.quiet ? quiet : progressOn(1));
    if (flags.quiet) app.out(`${reference}\n`);
  },
});
