import { LighterError } from "../base/errors.ts";
import { restoreVolume } from "../client/volumes.ts";
import { command } from "./command.ts";
import { string } from "./flags.ts";
import { inputStream } from "./input-stream.ts";
import { isTerminal } from "./is-terminal.ts";

/** `volume restore`: makes a volume of an archive that `volume backup` wrote. */
export const volumeRestore = command({
  usage: "[OPTIONS] VOLUME",
  args: 1,
  flags: { input: string("Read from this file, not from standard input", "i") },
  async run({ flags, args, app }) {
    if (flags.input === "" && isTerminal(0))
      throw new LighterError("invalid", "Cannot restore a volume from a terminal: name a file with -i, or redirect one");
    const body = await inputStream(flags.input);
    const { Name } = await restoreVolume(await app.connection(), args[0] ?? "", body);
    app.out(`${Name}\n`);
  },
});
