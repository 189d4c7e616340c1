import type { BlockUsage, Count } from "./usage.ts";

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

/** One of the counts of a file of lines `key value` as a number; 0 for none. */
export function numberIn(all: Readonly<Record<string, Count>>, key: string): number {
  return Number(all[key] ?? 0);
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
