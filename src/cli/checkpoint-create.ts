import { createCheckpoint } from "../client/checkpoints.ts";
import { command } from "./command.ts";
import { bool, string } from "./flags.ts";

/** `checkpoint create`: writes a container's processes down, to go on from there later. */
export const checkpointCreate = command({
  usage: "[OPTIONS] CONTAINER CHECKPOINT",
  args: 2,
  flags: {
    "checkpoint-dir": string("Folder to keep it in, in place of the container's own"),
    "leave-running": bool("Let the container run on"),
  },
  async run({ flags, args, app }) {
    const [container = "", id = ""] = args;
    await createCheckpoint(await app.connection(), container, { id, directory: flags["checkpoint-dir"], exit: !flags["leave-running"] });
    app.out(`${id}\n`);
  },
});
