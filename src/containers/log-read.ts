import type { LogOptions } from "./containers.ts";
import { BlockReader } from "./log-blocks.ts";
import type { LogChain } from "./log-chain.ts";
import type { OpenLog } from "./log-source.ts";
import type { Follower } from "./log-follow.ts";
import { StillLog } from "./log-still.ts";
import { findTail } from "./log-tail.ts";

/**
 * Blocks of whole lines of a log's files, oldest first; with a follower also what comes later, without one what is there now. Closes both, however it
 * ends.
 */
export async function* readBlocks(chain: LogChain, options: LogOptions, follower: Follower | undefined): AsyncGenerator<Uint8Array> {
  try {
    const files = follower === undefined ? await asTheyAre(chain.files) : chain.files;
    const { skip, offset } = await startOf(files, options);
    for (const [index, file] of files.entries()) {
      if (index >= skip) yield* readFile(file, index === skip ? offset : 0, options.signal, chain, follower);
      file.close();
      if (options.signal?.aborted) return;
    }
  } finally {
    chain.close();
    follower?.close();
  }
}

/** The last file alone may still be written. */
async function asTheyAre(files: readonly OpenLog[]): Promise<OpenLog[]> {
  const last = files.at(-1);
  return last === undefined ? [] : [...files.slice(0, -1), await StillLog.of(last)];
}

/** Where to begin: at the oldest file, or where the tail begins. Files that were written before the time that is asked for are passed over. */
async function startOf(files: OpenLog[], options: LogOptions): Promise<{ skip: number; offset: number }> {
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

async function filesBefore(files: OpenLog[], since: bigint | undefined): Promise<number> {
  if (since === undefined) return 0;
  let count = 0;
  for (const file of files.slice(0, -1)) {
    const { mtimeMs } = await file.stat();
    if (mtimeMs + CLOCK_SLACK_MILLISECONDS >= Number(since / 1_000_000n)) break;
    count++;
  }
  return count;
}

/** The blocks of one file; of the last one, when it is followed, all until the next one has been begun. */
async function* readFile(
  file: OpenLog,
  offset: number,
  signal: AbortSignal | undefined,
  chain: LogChain,
  follower: Follower | undefined,
): AsyncGenerator<Uint8Array> {
  const reader = new BlockReader(file, offset);
  let last = follower !== undefined && file === chain.files.at(-1);
  for (;;) {
    // Asked before reading: what comes between the read and the wait must wake the wait.
    const more = last ? follower?.ticket() : undefined;
    const block = await reader.next();
    if (block.length > 0) yield block;
    if (signal?.aborted) return;
    if (block.length > 0) continue;
    if (!last) return;
    // What came into this file before the next one was begun is still to be read.
    if (chain.next() !== undefined) last = false;
    else if (!(await more)) return;
  }
}
