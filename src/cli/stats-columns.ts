import { shortId } from "../base/ids.ts";
import { formatBinaryBytes, formatBytes } from "../base/units.ts";
import type { Listing } from "./format.ts";
import { numbersOf, type StatsNumbers } from "./stats-numbers.ts";
import type { StatsLine } from "./stats-source.ts";

const UNKNOWN = "--";

/** What `stats` can show of a container; two dashes until its first numbers have come. */
export function statsListing(noTrunc: boolean): Listing<StatsLine> {
  const shown = (text: (numbers: StatsNumbers) => string, unknown = UNKNOWN) => {
    return ({ stats }: StatsLine): string => (stats === undefined ? unknown : text(numbersOf(stats)));
  };
  const id = ({ container, stats }: StatsLine): string => stats?.id ?? container;
  const pair = (one: string, other: string): string => `${one} / ${other}`;
  return {
    shown: ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"],
    quiet: "ID",
    type: "statsContext",
    columns: {
      Container: { heading: "CONTAINER", of: ({ container }) => container },
      ID: { heading: "CONTAINER ID", of: (line) => (noTrunc ? id(line) : shortId(id(line))) },
      Name: { heading: "NAME", of: ({ stats }) => (stats?.name ?? "").replace(/^\//, "") || UNKNOWN },
      CPUPerc: { heading: "CPU %", of: shown(({ cpu }) => `${cpu.toFixed(2)}%`) },
      MemUsage: {
        heading: "MEM USAGE / LIMIT",
        of: shown(({ memory, memoryLimit }) => pair(formatBinaryBytes(memory), formatBinaryBytes(memoryLimit)), pair(UNKNOWN, UNKNOWN)),
      },
      MemPerc: { heading: "MEM %", of: shown(({ memoryShare }) => `${memoryShare.toFixed(2)}%`) },
      NetIO: { heading: "NET I/O", of: shown(({ received, sent }) => pair(formatBytes(received, 3), formatBytes(sent, 3))) },
      BlockIO: { heading: "BLOCK I/O", of: shown(({ read, written }) => pair(formatBytes(read, 3), formatBytes(written, 3))) },
      PIDs: { heading: "PIDS", of: shown(({ pids }) => String(pids)) },
    },
  };
}
