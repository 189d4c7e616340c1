import { existsSync } from "node:fs";
import { compareVolumes } from "../client/volumes.ts";
import { command } from "./command.ts";
import { bool } from "./flags.ts";
import { inputStream } from "./input-stream.ts";

/** Letters for the kinds of change: changed, added, deleted. */
const LETTERS = ["C", "A", "D"];

/** `volume diff`: shows what a volume has against another one, or against an archive that `volume backup` wrote. */
export const volumeDiff = command({
  usage: "[OPTIONS] VOLUME OTHER|ARCHIVE|-",
  args: 2,
  flags: { contents: bool("Read every file, not only those whose size or time differ") },
  async run({ flags, args, app }) {
    const [name = "", other = ""] = args;
    const against = isArchive(other) ? await inputStream(other) : other;
    const changes = await compareVolumes(await app.connection(), name, against, { contents: flags.contents });
    app.out(changes.map(({ Kind, Path }) => `${LETTERS[Kind] ?? "?"} ${Path}\n`).join(""));
  },
});

/** No volume's name has a slash; one without a slash that is a file here is taken for it if it ends as archives do. */
function isArchive(other: string): boolean {
  return other === "-" || other.includes("/") || (/\.(?:tar|tgz|tar\.\w+)$/.test(other) && existsSync(other));
}
