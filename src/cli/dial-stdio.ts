import { LighterError } from "../base/errors.ts";
import { connectDuplex } from "../client/duplex.ts";
import { command } from "./command.ts";
import { write } from "./output.ts";

/** `system dial-stdio`: joins standard input and output to the daemon's socket; what `ssh://` runs on the other side. */
export const dialStdio = command({
  usage: "",
  args: 0,
  flags: {},
  async run({ app }) {
    const connection = await app.connection();
    // One request first: it starts the daemon where that is ours to do.
    await connection.negotiate();
    const { endpoint } = connection;
    if (endpoint.kind === "ssh") throw new LighterError("invalid", "dial-stdio cannot go over ssh itself");
    const duplex = await connectDuplex(endpoint);
    const output = duplex.read((bytes) => write(1, bytes));
    void (async () => {
      for await (const bytes of Bun.stdin.stream()) await duplex.write(bytes);
      duplex.closeWrite();
    })().catch(() => duplex.close());
    await output;
  },
});
