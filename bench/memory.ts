import { readdirSync, readFileSync } from "node:fs";

/**
 * Memory of an engine in bytes: the proportional set size of all processes that name its folder on their command line (daemon, containerd, shims, monitors),
 * which those of containers do not.
 */
export function engineMemory(folder: string): { bytes: number; processes: number } {
  let bytes = 0;
  let processes = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(folder)) continue;
      bytes += Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1] ?? 0) * 1024;
      processes++;
    } catch {
      // It has ended meanwhile.
    }
  }
  return { bytes, processes };
}
