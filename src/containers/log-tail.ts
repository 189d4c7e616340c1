import type { LogSource } from "./log-source.ts";
import { parseLogLine } from "./log-line.ts";

const NEWLINE = 0x0a;
const BLOCK = 1 << 16;

/** Where the last lines of a file begin. */
export interface TailPosition {
  offset: number;
  /** How many of the wanted lines are not in this file. */
  missing: number;
  /** The beginning was found: nothing of the wanted lines lies in older files. */
  found: boolean;
}

/**
 * Finds where the last `count` lines of a program's output begin, reading blocks from the end backwards: the cost is that of the tail, not of the file.
 * A program's line may be several lines of the log (`P` pieces before the `F`), also in several files; pieces of a stream that is not wanted do not count.
 * @param open per stream, whether the last piece that was seen (later in the log) belongs to a line that is counted already
 */
export async function findTail(
  file: LogSource,
  count: number,
  wanted: { stdout: boolean; stderr: boolean },
  open = new Map<number, boolean>(),
): Promise<TailPosition> {
  const { size } = await file.stat();
  let left = count;
  let answer = size;
  for await (const { offset, line } of linesBackwards(file, size)) {
    const parsed = parseLogLine(line);
    if (parsed === undefined || !(parsed.stream === 1 ? wanted.stdout : wanted.stderr)) continue;
    const startsAnother = parsed.full || open.get(parsed.stream) !== true;
    if (startsAnother) {
      if (left === 0) return { offset: answer, missing: 0, found: true };
      left--;
    }
    open.set(parsed.stream, true);
    answer = offset;
  }
  return { offset: left > 0 ? 0 : answer, missing: left, found: false };
}

/** The lines of a file from the last to the first; bytes after the last newline are no line yet. */
async function* linesBackwards(file: LogSource, size: number): AsyncGenerator<{ offset: number; line: Uint8Array }> {
  let end = size;
  let rest = new Uint8Array(0);
  let complete = false;
  while (end > 0) {
    const from = Math.max(0, end - BLOCK);
    const block = new Uint8Array(end - from + rest.length);
    await file.read(block, 0, end - from, from);
    // conmon's lines are shorter than a block: zeros alone are a hole, before which there is nothing.
    if (isHole(block.subarray(0, end - from))) break;
    block.set(rest, end - from);
    let cut = block.length;
    for (let at = block.lastIndexOf(NEWLINE); at >= 0; at = at === 0 ? -1 : block.lastIndexOf(NEWLINE, at - 1)) {
      if (complete) yield { offset: from + at + 1, line: block.subarray(at + 1, cut) };
      complete = true;
      cut = at;
    }
    rest = block.slice(0, cut);
    // Before the first newline from the end is found, what was read belongs to no line.
    if (!complete) rest = new Uint8Array(0);
    end = from;
  }
  if (complete) yield { offset: end, line: rest };
}

function isHole(block: Uint8Array): boolean {
  return block[0] === 0 && block.at(-1) === 0 && block.every((byte) => byte === 0);
}
