import type { BlockUsage, Count, InterfaceUsage } from "./usage.ts";

/** A whole number of the kernel's; a bigint where a double would not be exact. */
export function countOf(text: string): Count {
  const value = Number(text);
  return value <= Number.MAX_SAFE_INTEGER ? value : BigInt(text);
}

/** A file that holds one number; 0 where there is none or it is no number (`max`). */
export function numberOf(text: string | undefined): number {
  const value = Number.parseInt(text ?? "", 10);
  return Number.isNaN(value) ? 0 : value;
}

/** A file of lines `key value`, the value a whole number; of `wanted` alone. Written for speed: a hundred containers are read at once. */
export function keyed(text: string | undefined, wanted?: ReadonlySet<string>): Map<string, Count> {
  const found = new Map<string, Count>();
  if (text === undefined) return found;
  for (let at = 0; at < text.length;) {
    const space = text.indexOf(" ", at);
    if (space < 0) break;
    const end = text.indexOf("\n", space);
    const stop = end < 0 ? text.length : end;
    const key = text.slice(at, space);
    if (wanted === undefined || wanted.has(key)) found.set(key, countOf(text.slice(space + 1, stop)));
    at = stop + 1;
  }
  return found;
}

/** A count of {@link keyed} as a number; 0 for none. */
export function numberIn(all: ReadonlyMap<string, Count>, key: string): number {
  return Number(all.get(key) ?? 0);
}

/** What v1 says where no device was used. */
const NO_DEVICE = "Total 0\n";

/** v1's counters of block devices: lines `8:0 Read 4096`, with a sum of all devices that belongs to none. */
export function blockLines(text: string | undefined): BlockUsage[] {
  if (text === undefined || text === NO_DEVICE) return [];
  return text.split("\n").flatMap((line) => {
    const [, major, minor, op = "", value] = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line) ?? [];
    return value === undefined ? [] : [{ major: Number(major), minor: Number(minor), op, value: Number(value) }];
  });
}

/** v2's `io.stat`: lines `8:0 rbytes=1 wbytes=2 rios=3 ...`; a device without traffic stands there without keys. */
export function ioStat(text: string | undefined): BlockUsage[] {
  return (text ?? "").split("\n").flatMap((line) => {
    const [, major, minor, rest = ""] = /^(\d+):(\d+) (.*)$/.exec(line) ?? [];
    const value = (key: string): number => Number(new RegExp(`\\b${key}=(\\d+)`).exec(rest)?.[1] ?? 0);
    if (!rest.includes("=")) return [];
    const device = { major: Number(major), minor: Number(minor) };
    return [
      { ...device, op: "read", value: value("rbytes") },
      { ...device, op: "write", value: value("wbytes") },
    ];
  });
}

/** `/proc/<pid>/net/dev`: the interfaces that connect a container to its networks (`eth0`, `eth1` ...), not those of its own. */
export function interfaces(text: string): Record<string, InterfaceUsage> {
  const found: Record<string, InterfaceUsage> = {};
  for (const line of text.split("\n")) {
    const [, name = "", counters = ""] = /^\s*(eth\d+):\s*(.*)$/.exec(line) ?? [];
    if (name === "") continue;
    // bytes packets errs drop fifo frame compressed multicast, then the same for what was sent.
    const at = counters.split(/\s+/).map(Number);
    const field = (index: number): number => at[index] ?? 0;
    found[name] = {
      rxBytes: field(0),
      rxPackets: field(1),
      rxErrors: field(2),
      rxDropped: field(3),
      txBytes: field(8),
      txPackets: field(9),
      txErrors: field(10),
      txDropped: field(11),
    };
  }
  return found;
}
