import { readFileSync } from "node:fs";
import { libc } from "./libc.ts";

/** A process, named so that a reused pid or a reboot can never be mistaken for it: pid, start time in clock ticks since boot, boot id. */
export interface ProcessName {
  pid: number;
  startTime: number;
  bootId: string;
}

let boot: string | undefined;

/** `/proc/sys/kernel/random/boot_id`. */
export function bootId(): string {
  return (boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
}

/** Names a running process; undefined when there is none (a zombie still counts). */
export function nameProcess(pid: number): ProcessName | undefined {
  const startTime = statFields(pid)?.[START_TIME];
  return startTime === undefined ? undefined : { pid, startTime: Number(startTime), bootId: bootId() };
}

/** Whether exactly this process still exists and is not a zombie. */
export function isAlive(name: ProcessName): boolean {
  if (name.bootId !== bootId()) return false;
  const fields = statFields(name.pid);
  if (fields === undefined || fields[STATE] === "Z" || fields[STATE] === "X") return false;
  return Number(fields[START_TIME]) === name.startTime;
}

/** The wait status of a process that has ended and is not reaped yet; undefined in any other case, and where we may not look. */
export function zombieStatus(name: ProcessName): number | undefined {
  const fields = name.bootId === bootId() ? statFields(name.pid) : undefined;
  if (fields?.[STATE] !== "Z" || Number(fields[START_TIME]) !== name.startTime) return undefined;
  const status = fields[EXIT_CODE];
  return status === undefined ? undefined : Number(status);
}

/** Fields of `/proc/<pid>/stat` by their numbers in proc(5), from the third one on. */
const STATE = 0;
const START_TIME = 22 - 3;
const EXIT_CODE = 52 - 3;

/** The fields of `/proc/<pid>/stat` behind the name, which may hold anything. Read once for all that is asked: the kernel makes it up anew each time. */
function statFields(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

/** Sends a signal to a pid; false when there is no such process or it may not be signalled. */
export function signalPid(pid: number, signal: number): boolean {
  return libc().kill(pid, signal) === 0;
}
