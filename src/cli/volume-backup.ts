import { LighterError } from "../base/errors.ts";
import { backupVolume } from "../client/volumes.ts";
import { command } from "./command.ts";
import { bool, string } from "./flags.ts";
import { saveStream } from "./save-stream.ts";

const COMPRESSIONS: readonly string[] = ["zstd", "gzip", "none"];

/** `volume backup`: writes a volume's files, labels and options to an archive that `volume restore` reads. */
export const volumeBackup = command({
  usage: "[OPTIONS] VOLUME",
  args: 1,
  flags: {
    compress: string("How to pack it: zstd, gzip or none", { initial: "zstd", shown: '"zstd"' }),
    output: string("Write to this file, not to standard output", "o"),
    pause: bool("Let containers that run with it stand still while its files are copied"),
  },
  async run({ flags, args, app }) {
    const { compress, output, pause } = flags;
    if (!COMPRESSIONS.includes(compress))
      throw new LighterError("invalid", `Cannot pack with "${compress}": choose one of ${COMPRESSIONS.join(", ")}`);
    const connection = await app.connection();
    await saveStream(output, "save", async () => packed(await backupVolume(connection, args[0] ?? "", { pause }), compress));
  },
});

function packed(answer: Response, how: string): Response {
  if (how === "none" || answer.body === null) return answer;
  return new Response(answer.body.pipeThrough(new CompressionStream(how as "gzip")));
}
