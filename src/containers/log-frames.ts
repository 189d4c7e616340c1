import type { Nanoseconds } from "../base/clock.ts";
import { FRAME_HEADER } from "../wire/stdcopy.ts";
import { LineScan, LineTimes } from "./log-scan.ts";

/** How stored lines become the bytes of an answer. */
export interface FrameOptions {
  stdout: boolean;
  stderr: boolean;
  since?: Nanoseconds;
  until?: Nanoseconds;
  /** Docker's stream headers before each line; without, the bytes alone, as of a terminal. */
  framed: boolean;
  /** The time before each line. */
  timestamps: boolean;
  /** Text before each line, behind the time. */
  details?: string | undefined;
}

const NEWLINE = 0x0a;
const SPACE = 0x20;
const TIME = 30;
/** Texts up to this length are copied byte by byte: cheaper than a call. */
const SHORT = 48;

/** Turns blocks of log lines into stdcopy frames, a frame a line or a piece of one, with no object a line. */
export class LogFramer {
  readonly #options: FrameOptions;
  readonly #scan = new LineScan();
  readonly #times = new LineTimes();
  readonly #details: Uint8Array;
  readonly #since: { seconds: number; nanos: number } | undefined;
  readonly #until: { seconds: number; nanos: number } | undefined;
  /** Whether a line of the stream has begun and not ended: no new time stamp is due. */
  readonly #open = [false, false, false];
  /** The time until which lines are wanted is past. */
  over = false;

  constructor(options: FrameOptions) {
    this.#options = options;
    this.#details = Buffer.from(options.details === undefined ? "" : `${options.details} `);
    this.#since = split(options.since);
    this.#until = split(options.until);
  }

  /** The answer's bytes for a block of whole lines; maybe none. */
  push(block: Uint8Array): Uint8Array {
    const scan = this.#scan;
    scan.begin(block);
    const { framed, timestamps, stdout, stderr } = this.#options;
    const prefix = (timestamps ? TIME + 1 : 0) + this.#details.length;
    // A line of the log is longer than its text by 11 bytes at least, which is more than a frame's header.
    const out = Buffer.allocUnsafeSlow(block.length + 16 + (prefix === 0 ? 0 : prefix * countLines(block)));
    const timed = timestamps || this.#since !== undefined || this.#until !== undefined;
    let at = 0;
    while (scan.next()) {
      const { stream, full } = scan;
      if (timed && !this.#times.read(block, scan.timeFrom, scan.timeTo)) continue;
      if (this.#until !== undefined && this.#isAfter(this.#until)) {
        this.over = true;
        break;
      }
      const goesOn = this.#open[stream] === true;
      this.#open[stream] = !full;
      if (!(stream === 1 ? stdout : stderr)) continue;
      if (this.#since !== undefined && this.#isBefore(this.#since)) continue;
      const head = at;
      if (framed) at += FRAME_HEADER;
      const begin = at;
      if (prefix > 0 && !goesOn) at = this.#putPrefix(out, at);
      at = copy(block, scan.from, scan.to, out, at);
      if (full) out[at++] = NEWLINE;
      if (framed) putHeader(out, head, stream, at - begin);
    }
    return out.subarray(0, at);
  }

  #putPrefix(out: Uint8Array, from: number): number {
    let at = from;
    if (this.#options.timestamps) {
      this.#times.write(out, at);
      at += TIME;
      out[at++] = SPACE;
    }
    out.set(this.#details, at);
    return at + this.#details.length;
  }

  #isAfter({ seconds, nanos }: { seconds: number; nanos: number }): boolean {
    return this.#times.seconds > seconds || (this.#times.seconds === seconds && this.#times.nanos > nanos);
  }

  #isBefore({ seconds, nanos }: { seconds: number; nanos: number }): boolean {
    return this.#times.seconds < seconds || (this.#times.seconds === seconds && this.#times.nanos < nanos);
  }
}

function copy(block: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  if (to - from > SHORT) {
    out.set(block.subarray(from, to), at);
    return at + to - from;
  }
  let target = at;
  for (let index = from; index < to; index++) out[target++] = block[index] ?? 0;
  return target;
}

function putHeader(out: Uint8Array, at: number, stream: number, length: number): void {
  out[at] = stream;
  out[at + 1] = 0;
  out[at + 2] = 0;
  out[at + 3] = 0;
  out[at + 4] = length >>> 24;
  out[at + 5] = length >>> 16;
  out[at + 6] = length >>> 8;
  out[at + 7] = length;
}

function countLines(block: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < block.length; at++) if (block[at] === NEWLINE) count++;
  return count;
}

function split(time: Nanoseconds | undefined): { seconds: number; nanos: number } | undefined {
  if (time === undefined) return undefined;
  return { seconds: Number(time / 1_000_000_000n), nanos: Number(time % 1_000_000_000n) };
}
