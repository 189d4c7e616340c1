import { existsSync, renameSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Task } from "../runtime/runtime.ts";
import type { Rotations } from "./log-chain.ts";
import { cutLog } from "./log-cut.ts";
import { PACKED, rotatedNumbers, rotatedPath } from "./log-files.ts";
import type { LogLimits } from "./log-limits.ts";

/** How often it is looked for a new file whose monitor did not answer in time: it is held up by a client that takes no output. */
const LATE_MILLISECONDS = 200;

/** The size of a file in bytes; undefined when it is not there. */
export function sizeOfLog(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

/**
 * Puts the log aside and makes the monitor begin a new one; then what is too much goes. Nothing is lost in between: until the monitor has
 * changed over, it writes to the renamed file. All renames are one moment for everybody else in this process.
 */
export async function rotateLog(current: string, log: Rotations, task: Task, limits: LogLimits, over: () => boolean): Promise<void> {
  putAside(current);
  log.rotations++;
  await Promise.all([reopen(current, task, over), dropLogs(current, limits, 2)]);
  if (existsSync(current)) await dropLogs(current, limits, 1);
}

/**
 * Makes the monitor begin a new file, and waits for it however long that takes. The message is sent once: a second one would
 * throw away what had come in between.
 * @param over whether there is nobody to wait for any more
 */
export async function reopen(current: string, task: Task, over: () => boolean): Promise<void> {
  try {
    await task.reopenLog();
  } catch (error) {
    if (over()) return;
    if ((error as { kind?: string }).kind !== "internal") throw error;
  }
  while (!existsSync(current) && !over()) await Bun.sleep(LATE_MILLISECONDS);
}

/** `current` becomes `current.1`, and so on up to the first number that is free. */
function putAside(current: string): void {
  const taken = new Set(rotatedNumbers(current));
  let free = 1;
  while (taken.has(free)) free++;
  for (let number = free; number > 1; number--) {
    const path = rotatedPath(current, number - 1);
    renameSync(path, `${current}.${number}${path.endsWith(PACKED) ? PACKED : ""}`);
  }
  renameSync(current, `${current}.1`);
}

/**
 * Removes the oldest files past the bounds in number and in bytes. A file that is more than all of them may be (it grew while nobody watched) loses its
 * beginning.
 * @param first the youngest that may go: 2 while the monitor still writes to 1
 */
export async function dropLogs(current: string, { maxFiles, maxSize }: LogLimits, first: 1 | 2): Promise<void> {
  // Files are a little larger than they should be: together they may be by half a file.
  const bound = (maxFiles - 0.5) * maxSize;
  let bytes = Math.max(0, (sizeOfLog(current) ?? 0) - maxSize);
  const surplus: { path: string; cut: boolean }[] = [];
  for (const [index, number] of rotatedNumbers(current).toReversed().entries()) {
    const path = rotatedPath(current, number);
    const size = sizeOfLog(path) ?? 0;
    bytes += size;
    if (number < first || (bytes <= bound && index + 1 < maxFiles)) continue;
    surplus.push({ path, cut: index === 0 && maxFiles > 1 && size > 2 * maxSize && !path.endsWith(PACKED) });
  }
  // The oldest first: whoever opens the files meanwhile, or after a crash, finds no gap between them.
  for (const { path, cut } of surplus.toReversed()) await (cut ? cutLog(path, maxSize) : rm(path, { force: true }));
}
