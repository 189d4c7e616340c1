import type { Nanoseconds } from "../base/clock.ts";
import { fromRfc3339 } from "../base/clock.ts";

/** A line of conmon's log taken apart: `time stream P|F text`. https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md */
export interface LogLine {
  time: Nanoseconds;
  stream: 1 | 2;
  /** The program's line ends here: its newline is not part of the text. */
  full: boolean;
  text: Uint8Array;
}

const SPACE = 0x20;
const NEWLINE = 0x0a;

/** Without the zeros before a line: a hole of a file that was truncated under its writer. */
export function withoutHole(line: Uint8Array): Uint8Array {
  if (line[0] !== 0) return line;
  const from = line.findIndex((byte) => byte !== 0);
  return from < 0 ? new Uint8Array(0) : line.subarray(from);
}

/** Takes a line (without its newline) apart; undefined for what is none. */
export function parseLogLine(raw: Uint8Array): LogLine | undefined {
  const line = withoutHole(raw);
  const first = line.indexOf(SPACE);
  const second = line.indexOf(SPACE, first + 1);
  const third = line.indexOf(SPACE, second + 1);
  if (first < 0 || second < 0 || third < 0) return undefined;
  const time = timeOf(line.subarray(0, first));
  const stream = streamOf(line, first + 1, second);
  const mark = line[second + 1];
  if (time === undefined || stream === undefined || third !== second + 2 || (mark !== 0x46 && mark !== 0x50)) return undefined;
  return { time, stream, full: mark === 0x46, text: line.subarray(third + 1) };
}

/** `stdout` and `stderr` differ in their fourth letter. */
function streamOf(line: Uint8Array, from: number, to: number): 1 | 2 | undefined {
  if (to - from !== 6) return undefined;
  const letter = line[from + 3];
  return letter === 0x6f ? 1 : letter === 0x65 ? 2 : undefined;
}

/** The bytes that the program wrote: the text, and the newline that ended it. */
export function bytesOf(line: LogLine): Uint8Array {
  if (!line.full) return line.text.slice();
  const bytes = new Uint8Array(line.text.length + 1);
  bytes.set(line.text);
  bytes[line.text.length] = NEWLINE;
  return bytes;
}

let known: { head: string; zone: string; seconds: Nanoseconds } | undefined;

/** Thousands of lines share a second: its part of the time is parsed once. */
function timeOf(bytes: Uint8Array): Nanoseconds | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  const dot = text.indexOf(".");
  if (dot !== 19) return fromRfc3339(text);
  let end = dot + 1;
  while (end < text.length && text.charCodeAt(end) >= 0x30 && text.charCodeAt(end) <= 0x39) end++;
  const head = text.slice(0, dot);
  const zone = text.slice(end);
  if (known?.head !== head || known.zone !== zone) {
    const seconds = fromRfc3339(head + zone);
    if (seconds === undefined) return undefined;
    known = { head, zone, seconds };
  }
  return (
    known.seconds +
    BigInt(
      text
        .slice(dot + 1, end)
        .padEnd(9, "0")
        .slice(0, 9),
    )
  );
}
