import { removeCheckpoint } from "../client/checkpoints.ts";
import { command } from "./command.ts";
import { string } from "./flags.ts";

/** `checkpoint rm`: removes a checkpoint. */
export const checkpointRm = command({
  usage: "[OPTIONS] CONTAINER CHECKPOINT",
  args: 2,
  flags: { "checkpoint-dir": string("Folder that it is kept in, in place of the container's own") },
  async run({ flags, args, app }) {
    const [container = "", id = ""] = args;
    await removeCheckpoint(await app.connection(), container, id, flags["checkpoint-dir"]);
  },
});
