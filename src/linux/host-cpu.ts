import { KernelFile } from "./kernel-file.ts";

/** Ticks of /proc/stat are hundredths of a second on every processor we run on. */
const TICK_NANOSECONDS = 10_000_000;
/** user, nice, system, idle, iowait, irq, softirq: what Docker adds up. */
const FIELDS = 7;

let file: KernelFile | undefined;

/** Time that all processors of the host have passed since boot, idle or not, in nanoseconds; and how many of them there are. */
export function hostCpu(): { total: number; online: number } {
  const text = (file ??= new KernelFile("/proc/stat")).read() ?? "";
  const end = text.indexOf("\nintr");
  const lines = text.slice(0, end < 0 ? text.length : end).split("\n");
  const [first = ""] = lines;
  const ticks = first
    .trim()
    .split(/\s+/)
    .slice(1, FIELDS + 1);
  return {
    total: ticks.reduce((sum, tick) => sum + Number(tick), 0) * TICK_NANOSECONDS,
    online: lines.filter((line) => /^cpu\d/.test(line)).length,
  };
}
