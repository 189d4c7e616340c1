import type { FileHandle } from "node:fs/promises";
import { parseLogLine } from "./log-line.ts";

const NEWLINE = 0x0a;
const BLOCK = 1 << 16;

/** Where the last lines of a file begin. */
export interface TailPosition {
  offset: number;
  /** How many of the wanted lines are not in this file. */
  missing: number;
}

/**
 * Finds where the last `count` lines of a program's output begin, reading blocks from the end backwards: the cost is that of the tail, not of the file.
 * A program's line may be several lines of the log (`P` pieces before the `F`); pieces of a stream that is not wanted do not count.
 */
export async function findTail(file: FileHandle, count: number, wanted: { stdout: boolean; stderr: boolean }): Promise<TailPosition> {
  const { size } = await file.stat();
  let left = count;
  // A stream whose last seen piece (later in the file) belongs to a line that is counted already.
  const open = new Map<number, boolean>();
  let answer = size;
  if (left === 0) return { offset: size, missing: 0 };
  for await (const { offset, line } of linesBackwards(file, size)) {
    const parsed = parseLogLine(line);
    if (parsed === undefined || !(parsed.stream === 1 ? wanted.stdout : wanted.stderr)) continue;
    const startsAnother = parsed.full || open.get(parsed.stream) !== true;
    if (startsAnother) {
      if (left === 0) return { offset: answer, missing: 0 };
      left--;
    }
    open.set(parsed.stream, true);
    answer = offset;
  }
  return { offset: left > 0 ? 0 : answer, missing: left };
}

/** The lines of a file from the last to the first; bytes after the last newline are no line yet. */
async function* linesBackwards(file: FileHandle, size: number): AsyncGenerator<{ offset: number; line: Uint8Array }> {
  let end = size;
  let rest = new Uint8Array(0);
  let complete = false;
  while (end > 0) {
    const from = Math.max(0, end - BLOCK);
    const block = new Uint8Array(end - from + rest.length);
    await file.read(block, 0, end - from, from);
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
  if (complete) yield { offset: 0, line: rest };
}
