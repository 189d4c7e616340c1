import { listCheckpoints } from "../client/checkpoints.ts";
import { command } from "./command.ts";
import { string } from "./flags.ts";

/** `checkpoint ls`: lists the checkpoints of a container. */
export const checkpointLs = command({
  usage: "[OPTIONS] CONTAINER",
  args: 1,
  flags: { "checkpoint-dir": string("Folder that they are kept in, in place of the container's own") },
  async run({ flags, args, app }) {
    const found = await listCheckpoints(await app.connection(), args[0] ?? "", flags["checkpoint-dir"]);
    app.out(["CHECKPOINT NAME", ...found.map(({ Name }) => Name)].map((line) => `${line}\n`).join(""));
  },
});
