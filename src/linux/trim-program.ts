import { dlopen, FFIType, type Pointer } from "bun:ffi";
import { readFileSync } from "node:fs";

const MADV_DONTNEED = 4;
const FIRST_MILLISECONDS = 3_000;
const LOOK_MILLISECONDS = 30_000;
/** Less processor time than this between two looks is rest; more than this since the last trim is worth another. */
const REST_MICROSECONDS = 300_000;

/** Trims soon after the start, and from then on whenever the process has come to rest after work. */
export function trimAtRest(): void {
  const spent = (): number => {
    const { user, system } = process.cpuUsage();
    return user + system;
  };
  let trimmed = 0;
  let last = 0;
  const trim = (): void => {
    trimProgram();
    trimmed = last = spent();
  };
  setTimeout(trim, FIRST_MILLISECONDS).unref();
  setInterval(() => {
    const now = spent();
    const atRest = now - last < REST_MICROSECONDS;
    last = now;
    if (atRest && now - trimmed > REST_MICROSECONDS) trim();
  }, LOOK_MILLISECONDS).unref();
}

/**
 * Lets go of the pages of the program's own code that were touched once at the start: the kernel maps dozens around each one used, and they count as this process's
 * memory although most are never looked at again. They stay in the page cache; one that is needed comes back within a microsecond.
 */
export function trimProgram(): void {
  const { madvise } = dlopen("libc.so.6", { madvise: { args: ["ptr", FFIType.u64_fast, "i32"], returns: "i32" } }).symbols;
  for (const { start, bytes } of codeOf(readFileSync("/proc/self/smaps", "utf8"), process.execPath)) {
    madvise(start as Pointer, bytes, MADV_DONTNEED);
  }
}

/**
 * The mappings of a program's code, from the text of `/proc/<pid>/smaps`. Not those that can be read only, and none of which a page was written to: the loader
 * puts addresses into some of them, which would be lost.
 */
export function codeOf(smaps: string, program: string): { start: number; bytes: number }[] {
  // A mapping is a line that begins with its addresses, and lines of what is known of it.
  return smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/).flatMap((mapping) => {
    const [, from = "", to = "", path] = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ [1-9]\d*\s+(.*)$/m.exec(mapping) ?? [];
    if (path !== program || !/^Anonymous:\s+0 kB$/m.test(mapping)) return [];
    const start = Number.parseInt(from, 16);
    return [{ start, bytes: Number.parseInt(to, 16) - start }];
  });
}
