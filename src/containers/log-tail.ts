import { spaceOf } from "./log-scan.ts";
import type { LogSource } from "./log-source.ts";

const NEWLINE = 0x0a;
const LETTER_F = 0x46;
const LETTER_O = 0x6f;
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
  const counter = new LineCounter(count, wanted, open, size);
  for await (const { block, from, first, last } of blocksBackwards(file, size))
    if (counter.take(block, from, first, last)) return { offset: counter.answer, missing: 0, found: true };
  return { offset: counter.left > 0 ? 0 : counter.answer, missing: counter.left, found: false };
}

/** Counts lines from the last to the first. */
class LineCounter {
  left: number;
  /** Where the last of the counted lines begins. */
  answer: number;
  readonly #wanted: { stdout: boolean; stderr: boolean };
  readonly #open: Map<number, boolean>;

  constructor(count: number, wanted: { stdout: boolean; stderr: boolean }, open: Map<number, boolean>, size: number) {
    this.left = count;
    this.answer = size;
    this.#wanted = wanted;
    this.#open = open;
  }

  /** Takes the lines of a block that begin at `first` or later and end before `last`; true when all that are wanted were found. */
  take(block: Uint8Array, from: number, first: number, last: number): boolean {
    for (let end = last; end > first;) {
      const newline = end - 2 < first ? -1 : block.lastIndexOf(NEWLINE, end - 2);
      const start = newline < first ? first : newline + 1;
      if (this.#takeLine(block, start, from + start, end)) return true;
      end = start;
    }
    return false;
  }

  #takeLine(block: Uint8Array, start: number, offset: number, end: number): boolean {
    let begin = start;
    // A hole of a file that was truncated under its writer.
    while (block[begin] === 0 && begin < end) begin++;
    const space = spaceOf(block, begin);
    if (space < 0 || space + 10 >= end) return false;
    const stream = block[space + 4] === LETTER_O ? 1 : 2;
    if (!(stream === 1 ? this.#wanted.stdout : this.#wanted.stderr)) return false;
    if (block[space + 8] === LETTER_F || this.#open.get(stream) !== true) {
      if (this.left === 0) return true;
      this.left--;
    }
    this.#open.set(stream, true);
    this.answer = offset;
    return false;
  }
}

/** A block at `from`, and which of its bytes are whole lines. */
interface Lines {
  block: Uint8Array;
  from: number;
  first: number;
  last: number;
}

/** The whole lines of a file from the last to the first, many at a time; bytes after the last newline are no line yet. */
async function* blocksBackwards(file: LogSource, size: number): AsyncGenerator<Lines> {
  let end = size;
  /** The end of a line whose beginning lies further in front. */
  let rest = new Uint8Array(0);
  let complete = false;
  while (end > 0) {
    const from = Math.max(0, end - BLOCK);
    const block = new Uint8Array(end - from + rest.length);
    await file.read(block, 0, end - from, from);
    // conmon's lines are shorter than a block: zeros alone are a hole, before which there is nothing.
    if (isHole(block.subarray(0, end - from))) break;
    block.set(rest, end - from);
    const last: number = complete ? block.length : block.lastIndexOf(NEWLINE) + 1;
    complete ||= last > 0;
    const first = from === 0 ? 0 : block.indexOf(NEWLINE) + 1;
    end = from;
    // The line that begins in front of this block is given with the next one.
    rest = complete ? block.slice(0, Math.min(first, last)) : new Uint8Array(0);
    if (last > first) yield { block, from, first, last };
    if (from === 0) return;
  }
  if (complete && rest.length > 0) yield { block: rest, from: end, first: 0, last: rest.length };
}

function isHole(block: Uint8Array): boolean {
  return block[0] === 0 && block.at(-1) === 0 && block.every((byte) => byte === 0);
}
