import { readFileSync, readlinkSync } from "node:fs";
import { libc } from "./libc.ts";

const MADV_DONTNEED = 4;

/**
 * Takes the pages of this program's code out of its memory: most of what was touched was needed to start. The page cache has them still, and what is
 * used again is there again by the next access to it. Returns how many bytes of code are mapped; 0 where nothing could be done.
 * madvise(2), proc_pid_maps(5)
 */
export function releaseStartPages(): number {
  let released = 0;
  for (const { from, to } of codeMappings(readFileSync("/proc/self/maps", "utf8"), readlinkSync("/proc/self/exe"))) {
    if (libc().madvise(from, to - from, MADV_DONTNEED) === 0) released += to - from;
  }
  return released;
}

/** Where a program's file is mapped as code: such pages are never written to, so that each can be read from the file again. */
export function codeMappings(maps: string, program: string): { from: number; to: number }[] {
  return maps.split("\n").flatMap((line) => {
    const [, from = "", to = "", path] = /^([0-9a-f]+)-([0-9a-f]+) r-xp [0-9a-f]+ \S+ [1-9]\d* +(.+)$/.exec(line) ?? [];
    return path === program ? [{ from: Number.parseInt(from, 16), to: Number.parseInt(to, 16) }] : [];
  });
}
