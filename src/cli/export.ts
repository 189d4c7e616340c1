import { exportContainer as requestExport } from "../client/containers.ts";
import { command } from "./command.ts";
import { string } from "./flags.ts";
import { saveStream } from "./save-stream.ts";

/** `export`: writes a container's file system as a tar archive. */
export const exportContainer = command({
  usage: "[OPTIONS] CONTAINER",
  args: 1,
  flags: { output: string("Write to this file, not to standard output", "o") },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    await saveStream(flags.output, "export", () => requestExport(connection, args[0] ?? ""));
  },
});
