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
  const startTime = statField(pid, 22);
  return startTime === undefined ? undefined : { pid, startTime: Number(startTime), bootId: bootId() };
}

/** Whether exactly this process still exists and is not a zombie. */
export function isAlive(name: ProcessName): boolean {
  if (name.bootId !== bootId()) return false;
  const state = statField(name.pid, 3);
  if (state === undefined || state === "Z" || state === "X") return false;
  return Number(statField(name.pid, 22)) === name.startTime;
}

/** The wait status of a process that has ended and is not reaped yet; undefined in any other case, and where we may not look. */
export function zombieStatus(name: ProcessName): number | undefined {
  if (name.bootId !== bootId() || statField(name.pid, 3) !== "Z" || Number(statField(name.pid, 22)) !== name.startTime) return undefined;
  const status = statField(name.pid, 52);
  return status === undefined ? undefined : Number(status);
}

/** A field of `/proc/<pid>/stat` by its number in proc(5), 3 or above (the name in field 2 may hold anything). */
function statField(pid: number, field: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[field - 3];
  } catch {
    return undefined;
  }
}

/** Sends a signal to a pid; false when there is no such process or it may not be signalled. */
export function signalPid(pid: number, signal: number): boolean {
  return libc().kill(pid, signal) === 0;
}
