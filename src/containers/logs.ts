import type { FileHandle } from "node:fs/promises";
import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import type { OutputSink } from "../wire/stream.ts";
import type { LogEntry, LogOptions } from "./containers.ts";
import { type Context, find, isRunning, liveOf } from "./context.ts";
import { LineReader, logFileNames, openLog } from "./log-files.ts";
import { bytesOf, parseLogLine } from "./log-line.ts";
import { findTail } from "./log-tail.ts";
import { pathsOf } from "./paths.ts";
import type { ContainerRow } from "./rows.ts";

/** See `Containers.logs`. Throws `not-found` at once, and `unsupported` for a container that keeps no log. */
export function containerLogs(context: Context, reference: string, options: LogOptions): AsyncIterable<LogEntry> {
  const row = find(context, reference);
  if (!options.stdout && !options.stderr) throw new LighterError("invalid", "Bad parameters: you must choose at least one stream");
  return readLogs(context, row, options);
}

/** The stored output of a container, oldest first; with `follow` it goes on until the process has ended and all of its output has come. */
export async function* readLogs(context: Context, row: ContainerRow, options: LogOptions): AsyncGenerator<LogEntry> {
  if (row.desired.hostConfig.LogConfig?.Type === "none")
    throw new LighterError("unsupported", "configured logging driver does not support reading");
  const { log } = pathsOf(context.needs.options, row.id);
  const follower = options.follow ? followerOf(context, row, options) : undefined;
  try {
    const start = await startOf(logFileNames(log, row.log?.files ?? 0), options);
    // A line whose first piece was given goes on with the next: no new time stamp is due.
    const continues = new Map<number, boolean>();
    for (const [index, { path, offset }] of start.entries()) {
      const file = await openLog(path);
      if (file === undefined) continue;
      try {
        yield* readFile(file, offset, options, continues, index === start.length - 1 ? follower : undefined);
      } finally {
        await file.close();
      }
    }
  } finally {
    follower?.close();
  }
}

interface Place {
  path: string;
  offset: number;
}

/** Which files to read, and from where: all of them, or from where the tail begins. */
async function startOf(paths: string[], options: LogOptions): Promise<Place[]> {
  if (options.tail === undefined || options.tail < 0) return paths.map((path) => ({ path, offset: 0 }));
  const places: Place[] = [];
  let left = options.tail;
  for (const path of paths.toReversed()) {
    const file = await openLog(path);
    if (file === undefined) continue;
    try {
      const { offset, missing } = await findTail(file, left, options);
      places.unshift({ path, offset });
      if (missing === 0) break;
      left = missing;
    } finally {
      await file.close();
    }
  }
  return places;
}

async function* readFile(
  file: FileHandle,
  offset: number,
  options: LogOptions,
  continues: Map<number, boolean>,
  follower: Follower | undefined,
): AsyncGenerator<LogEntry> {
  const reader = new LineReader(file, offset);
  for (;;) {
    // Asked before reading: what comes between the read and the wait must wake the wait.
    const more = follower?.ticket();
    const lines = await reader.next();
    for (const line of lines) {
      const parsed = parseLogLine(line);
      if (parsed === undefined || options.signal?.aborted) continue;
      if (options.until !== undefined && parsed.time > options.until) return;
      const goesOn = continues.get(parsed.stream) ?? false;
      continues.set(parsed.stream, !parsed.full);
      if (!(parsed.stream === 1 ? options.stdout : options.stderr)) continue;
      if (options.since !== undefined && parsed.time < options.since) continue;
      yield { stream: parsed.stream, time: parsed.time, data: bytesOf(parsed), ...(goesOn ? { continues: true } : {}) };
    }
    if (lines.length > 0) continue;
    if (more === undefined || options.signal?.aborted || !(await more)) return;
  }
}

/** What a timer can hold, in milliseconds. */
const LONGEST_WAIT = 2 ** 31 - 1;

/** Tells a reader when it is worth reading again. */
interface Follower {
  /** Resolves true when more may have come since the call, false when nothing can come any more. */
  ticket(): Promise<boolean>;
  close(): void;
}

/** Woken by the output that passes through the daemon anyway; it keeps none of it. Undefined when nothing runs. */
function followerOf(context: Context, row: ContainerRow, { signal, until }: LogOptions): Follower | undefined {
  const live = liveOf(context, row.id);
  const task = live.task;
  if (task === undefined || !isRunning(row)) return undefined;
  let count = 0;
  let over = false;
  let wake: (() => void) | undefined;
  const poke = (): void => {
    count++;
    wake?.();
  };
  const end = (): void => {
    over = true;
    poke();
  };
  const sink: OutputSink = {
    write: () => {
      poke();
      return true;
    },
    drained: () => Promise.resolve(),
    end: () => undefined,
  };
  const attachment = task.attach(sink, { stdin: false, stdout: true, stderr: true });
  void task.exited.then(end);
  signal?.addEventListener("abort", end);
  // A time in the future ends the following when it has come.
  const wait = until === undefined ? undefined : Number(until - now()) / 1e6;
  const timer = wait === undefined || wait > LONGEST_WAIT ? undefined : setTimeout(end, Math.max(0, wait));
  return {
    async ticket() {
      const seen = count;
      // The last read comes after the end is known.
      if (over) return false;
      if (count === seen) await new Promise<void>((resolve) => (wake = resolve));
      return true;
    },
    close() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      attachment.detach();
    },
  };
}
