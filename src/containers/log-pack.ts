import { closeSync, fstatSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { LighterError } from "../base/errors.ts";
import { reasonOf } from "../linux/lasting-worker.ts";
import type { Live } from "./live.ts";
import { PACKED, rotatedNumbers } from "./log-files.ts";

/** What the Worker is told: it reads the open file `source` and writes `target`. */
export interface PackJob {
  job: number;
  source: number;
  target: string;
}

/** What the Worker answers. */
export interface PackDone {
  job: number;
  error: string | undefined;
}

/** A Worker without work is ended after this many milliseconds: it holds some 13 MB. */
const IDLE = 30_000;

let worker: Worker | undefined;
let idle: ReturnType<typeof setTimeout> | undefined;
let lastJob = 0;
/** One file at a time, whatever many containers there are. */
let queue: Promise<unknown> = Promise.resolve();

/**
 * Compresses what was rotated away of a log, the oldest first, in a Worker. The files may be renumbered or dropped meanwhile; each takes its new form
 * in one moment, under the lock of the log.
 * @param above only files with a higher number
 */
export async function packLogs(current: string, live: Live, above: number, over: () => boolean): Promise<void> {
  for (const number of rotatedNumbers(current)) {
    if (number <= above || over()) continue;
    const next = queue.then(() => (over() ? undefined : packOne(current, live, number)));
    queue = next.catch(() => undefined);
    await next;
  }
}

/** What a daemon that was killed in between left. */
export async function removeHalfPacked(current: string): Promise<void> {
  await rm(`${current}.pack`, { force: true });
  for (const number of rotatedNumbers(current)) {
    // Both forms are there: the compressed one was complete, as it had got its name.
    const packed = statSync(`${current}.${number}${PACKED}`, { throwIfNoEntry: false });
    if (packed !== undefined) await rm(`${current}.${number}`, { force: true });
  }
}

async function packOne(current: string, live: Live, number: number): Promise<void> {
  const source = openPlain(`${current}.${number}`);
  if (source === undefined) return;
  const target = `${current}.pack`;
  try {
    const { ino } = fstatSync(source);
    await runJob(source, target);
    await live.logLock.run(() => Promise.resolve(takePlace(current, target, ino)));
  } finally {
    closeSync(source);
    rmSync(target, { force: true });
  }
}

function openPlain(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch {
    return undefined;
  }
}

/** The file may have another number by now, or be gone. */
function takePlace(current: string, target: string, ino: number): void {
  for (const number of rotatedNumbers(current)) {
    const path = `${current}.${number}`;
    if (statSync(path, { throwIfNoEntry: false })?.ino !== ino) continue;
    renameSync(target, `${path}${PACKED}`);
    rmSync(path);
    return;
  }
}

function runJob(source: number, target: string): Promise<void> {
  const job = ++lastJob;
  clearTimeout(idle);
  const running = (worker ??= new Worker(new URL("./log-pack.worker.ts", import.meta.url)));
  (running as unknown as { ref(): void }).ref();
  return new Promise<void>((resolve, reject) => {
    const finish = (error: string | undefined): void => {
      running.removeEventListener("message", answered);
      running.removeEventListener("error", failed);
      running.removeEventListener("close", closed);
      if (error === undefined) resolve();
      else reject(new LighterError("internal", `Cannot compress a log: ${error}`));
    };
    const answered = ({ data }: MessageEvent<PackDone>): void => {
      if (data.job === job) finish(data.error);
    };
    const failed = (event: ErrorEvent): void => {
      event.preventDefault();
      if (worker === running) worker = undefined;
      finish(reasonOf(event.message));
    };
    const closed = (): void => {
      if (worker === running) worker = undefined;
      finish("its thread ended");
    };
    running.addEventListener("message", answered);
    running.addEventListener("error", failed);
    running.addEventListener("close", closed);
    running.postMessage({ job, source, target } satisfies PackJob);
  }).finally(rest);
}

function rest(): void {
  (worker as unknown as { unref(): void } | undefined)?.unref();
  idle = setTimeout(() => {
    worker?.terminate();
    worker = undefined;
  }, IDLE);
  idle.unref();
}
