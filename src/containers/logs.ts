import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import type { OutputSink } from "../wire/stream.ts";
import type { LogEntry, LogOptions } from "./containers.ts";
import { type Context, find, isRunning, liveOf } from "./context.ts";
import { LogChain } from "./log-chain.ts";
import { type LogFile, LineReader } from "./log-files.ts";
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
  yield* readChain(new LogChain(log, liveOf(context, row.id)), options, follower);
}

/** The entries of a log's files, oldest first; with a follower also what comes later. Closes both. */
export async function* readChain(chain: LogChain, options: LogOptions, follower: Follower | undefined): AsyncGenerator<LogEntry> {
  try {
    const { skip, offset } = await startOf(chain, options);
    // A line whose first piece was given goes on with the next: no new time stamp is due.
    const reading = { options, continues: new Map<number, boolean>(), over: false };
    for (const [index, file] of chain.files.entries()) {
      if (index >= skip) yield* readFile(file, index === skip ? offset : 0, reading, chain, follower);
      file.close();
      if (reading.over) return;
    }
  } finally {
    chain.close();
    follower?.close();
  }
}

/** Where to begin: at the oldest file, or where the tail begins. Files that were written before the time that is asked for are passed over. */
async function startOf(chain: LogChain, options: LogOptions): Promise<{ skip: number; offset: number }> {
  const { files } = chain;
  let left = options.tail ?? -1;
  if (left < 0) return { skip: await filesBefore(files, options.since), offset: 0 };
  const open = new Map<number, boolean>();
  let start = { skip: files.length, offset: 0 };
  for (const [index, file] of [...files.entries()].toReversed()) {
    const { offset, missing, found } = await findTail(file, left, options, open);
    start = { skip: index, offset };
    if (found) break;
    left = missing;
  }
  return start;
}

/** The kernel's times of files may be some milliseconds too early. */
const CLOCK_SLACK_MILLISECONDS = 1000;

async function filesBefore(files: LogFile[], since: bigint | undefined): Promise<number> {
  if (since === undefined) return 0;
  let count = 0;
  for (const file of files.slice(0, -1)) {
    const { mtimeMs } = await file.stat();
    if (mtimeMs + CLOCK_SLACK_MILLISECONDS >= Number(since / 1_000_000n)) break;
    count++;
  }
  return count;
}

/** What goes on from file to file. */
interface Reading {
  options: LogOptions;
  continues: Map<number, boolean>;
  /** The time until which lines are wanted is past. */
  over: boolean;
}

/** The entries of one file; of the last one, when it is followed, all until the next one has been begun. */
async function* readFile(
  file: LogFile,
  offset: number,
  reading: Reading,
  chain: LogChain,
  follower: Follower | undefined,
): AsyncGenerator<LogEntry> {
  const reader = new LineReader(file, offset);
  let last = follower !== undefined && file === chain.files.at(-1);
  for (;;) {
    // Asked before reading: what comes between the read and the wait must wake the wait.
    const more = last ? follower?.ticket() : undefined;
    const lines = await reader.next();
    yield* entriesOf(lines, reading);
    if (reading.over || reading.options.signal?.aborted) return;
    if (lines.length > 0) continue;
    if (!last) return;
    // What came into this file before the next one was begun is still to be read.
    if (chain.next() !== undefined) last = false;
    else if (!(await more)) return;
  }
}

function* entriesOf(lines: Uint8Array[], reading: Reading): Generator<LogEntry> {
  const { options, continues } = reading;
  for (const line of lines) {
    const parsed = parseLogLine(line);
    if (parsed === undefined || options.signal?.aborted) continue;
    if (options.until !== undefined && parsed.time > options.until) {
      reading.over = true;
      return;
    }
    const goesOn = continues.get(parsed.stream) ?? false;
    continues.set(parsed.stream, !parsed.full);
    if (!(parsed.stream === 1 ? options.stdout : options.stderr)) continue;
    if (options.since !== undefined && parsed.time < options.since) continue;
    yield { stream: parsed.stream, time: parsed.time, data: bytesOf(parsed), ...(goesOn ? { continues: true } : {}) };
  }
}

/** What a timer can hold, in milliseconds. */
const LONGEST_WAIT = 2 ** 31 - 1;

/** Tells a reader when it is worth reading again. */
export interface Follower {
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
