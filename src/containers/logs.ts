import { LighterError } from "../base/errors.ts";
import type { LogEntry, LogOptions } from "./containers.ts";
import { type Context, find, liveOf } from "./context.ts";
import { logDetails } from "./log-attributes.ts";
import { LogChain } from "./log-chain.ts";
import { type Follower, followerOf } from "./log-follow.ts";
import { LogFramer } from "./log-frames.ts";
import { bytesOf, parseLogLine } from "./log-line.ts";
import { isReadable } from "./log-options.ts";
import { readBlocks } from "./log-read.ts";
import { pathsOf } from "./paths.ts";
import type { ContainerRow } from "./rows.ts";

/** Docker's sentence for a container whose driver keeps nothing. */
export const NOT_READABLE = "configured logging driver does not support reading";

/** See `Containers.logs`. Throws `not-found` at once, and `unsupported` for a container that keeps no log. */
export function containerLogs(context: Context, reference: string, options: LogOptions): AsyncIterable<LogEntry> {
  const row = find(context, reference);
  if (!options.stdout && !options.stderr) throw new LighterError("invalid", "Bad parameters: you must choose at least one stream");
  return readLogs(context, row, options);
}

/** The stored output of a container, oldest first; with `follow` it goes on until the process has ended and all of its output has come. */
export async function* readLogs(context: Context, row: ContainerRow, options: LogOptions): AsyncGenerator<LogEntry> {
  const { chain, follower } = openLogs(context, row, options);
  yield* readChain(chain, options, follower);
}

/** Options of {@link logFrames}. */
type FramesOptions = LogOptions & { timestamps: boolean; details: boolean };

/** See `Containers.logFrames`. */
export function logFrames(context: Context, reference: string, options: FramesOptions): AsyncIterable<Uint8Array> {
  const row = find(context, reference);
  if (!isReadable(row.desired.hostConfig.LogConfig)) throw new LighterError("unsupported", NOT_READABLE);
  return framesOf(context, row, options);
}

async function* framesOf(context: Context, row: ContainerRow, options: FramesOptions): AsyncGenerator<Uint8Array> {
  const framer = new LogFramer({
    ...options,
    framed: row.desired.config.Tty !== true,
    details: options.details ? logDetails(row) : undefined,
  });
  const { chain, follower } = openLogs(context, row, options);
  for await (const block of readBlocks(chain, options, follower)) {
    const bytes = framer.push(block);
    if (bytes.length > 0) yield bytes;
    if (framer.over) return;
  }
}

function openLogs(context: Context, row: ContainerRow, options: LogOptions): { chain: LogChain; follower: Follower | undefined } {
  if (!isReadable(row.desired.hostConfig.LogConfig)) throw new LighterError("unsupported", NOT_READABLE);
  const follower = options.follow ? followerOf(context, row, options) : undefined;
  return { chain: new LogChain(pathsOf(context.needs.options, row.id).log, liveOf(context, row.id)), follower };
}

/** The entries of a log's files, oldest first; with a follower also what comes later. Closes both. */
export async function* readChain(chain: LogChain, options: LogOptions, follower: Follower | undefined): AsyncGenerator<LogEntry> {
  // A line whose first piece was given goes on with the next: no new time stamp is due.
  const reading = { options, continues: new Map<number, boolean>(), over: false };
  for await (const block of readBlocks(chain, options, follower)) {
    yield* entriesOf(block, reading);
    if (reading.over) return;
  }
}

/** What goes on from block to block. */
interface Reading {
  options: LogOptions;
  continues: Map<number, boolean>;
  /** The time until which lines are wanted is past. */
  over: boolean;
}

const NEWLINE = 0x0a;

function* entriesOf(block: Uint8Array, reading: Reading): Generator<LogEntry> {
  const { options, continues } = reading;
  for (let from = 0; from < block.length;) {
    const end = block.indexOf(NEWLINE, from);
    const parsed = parseLogLine(block.subarray(from, end));
    from = end + 1;
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
