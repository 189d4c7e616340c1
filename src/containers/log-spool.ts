import { statSync } from "node:fs";
import { BlockReader } from "./log-blocks.ts";
import { inodeOf, openLog, rotatedNumbers } from "./log-files.ts";
import { type LogMessage, MESSAGE_BYTES } from "./log-message.ts";
import { LineScan, LineTimes } from "./log-scan.ts";
import type { OpenLog } from "./log-source.ts";

/** How far a log was shipped, as it is stored. */
export interface ShipPosition {
  /** The file, whatever it is called by now. */
  inode: number;
  offset: number;
  /** Of the last line: where to go on when the file is gone or was compressed. */
  seconds: number;
  nanos: number;
  /** The beginnings of lines that had no end yet, by stream, in base64. */
  open: Record<string, OpenLine>;
}

/** A line whose end has not come yet. */
interface OpenLine {
  seconds: number;
  nanos: number;
  text: string;
  id?: string;
  ordinal?: number;
}

/** Messages, and where the log stands behind them. */
export interface Batch {
  messages: LogMessage[];
  position: ShipPosition;
}

/** Messages and bytes of one batch. */
const BATCH_MESSAGES = 500;
const BATCH_BYTES = 256 << 10;

interface Pending {
  seconds: number;
  nanos: number;
  parts: Uint8Array[];
  length: number;
  id: string | undefined;
  ordinal: number;
}

/** Reads a container's log from file to file and makes messages of its lines: pieces are joined, and cut at Docker's length. */
export class Spool {
  readonly #current: string;
  readonly #scan = new LineScan();
  readonly #times = new LineTimes();
  readonly #pending = new Map<number, Pending>();
  #file: OpenLog | undefined;
  #inode = 0;
  #reader: BlockReader | undefined;
  #block: Uint8Array = new Uint8Array(0);
  /** Lines of these times and before were shipped already. */
  #after: { seconds: number; nanos: number } | undefined;
  #last = { seconds: 0, nanos: 0 };
  /** Files went before they were read: there was no room for more. */
  gap = false;
  #messages: LogMessage[] = [];
  #bytes = 0;

  constructor(current: string, position: ShipPosition | undefined) {
    this.#current = current;
    if (position === undefined) return;
    this.#last = { seconds: position.seconds, nanos: position.nanos };
    for (const [stream, line] of Object.entries(position.open)) this.#pending.set(Number(stream), fromOpen(line));
    if (!this.#openInode(position.inode, position.offset)) this.#after = { ...this.#last };
  }

  /** The next messages; none when nothing new has come. */
  async next(): Promise<Batch> {
    while (this.#bytes < BATCH_BYTES && this.#messages.length < BATCH_MESSAGES) {
      if (this.#scan.next()) this.#take();
      else if (!(await this.#refill())) break;
    }
    return this.#batch();
  }

  /** What is left when nothing more will come: lines without an end. */
  rest(): Batch {
    for (const [stream, pending] of this.#pending) this.#emit(stream as 1 | 2, pending, join(pending), true);
    this.#pending.clear();
    return this.#batch();
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #batch(): Batch {
    const position: ShipPosition = {
      inode: this.#inode,
      offset: (this.#reader?.offset ?? 0) - this.#block.length + this.#scan.position,
      ...this.#last,
      open: Object.fromEntries([...this.#pending].map(([stream, pending]) => [stream, toOpen(pending)])),
    };
    const messages = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    return { messages, position };
  }

  #take(): void {
    const scan = this.#scan;
    const { stream, full } = scan;
    const times = this.#times;
    if (!times.read(this.#block, scan.timeFrom, scan.timeTo)) return;
    const { seconds, nanos } = times;
    const after = this.#after;
    if (after !== undefined && (seconds < after.seconds || (seconds === after.seconds && nanos <= after.nanos))) return;
    this.#after = undefined;
    this.#last = { seconds, nanos };
    const pending = this.#pending.get(stream) ?? { seconds, nanos, parts: [], length: 0, id: undefined, ordinal: 0 };
    pending.parts.push(this.#block.subarray(scan.from, scan.to));
    pending.length += scan.to - scan.from;
    if (!full && pending.length < MESSAGE_BYTES) return void this.#pending.set(stream, pending);
    let text = join(pending);
    while (text.length > MESSAGE_BYTES || (!full && text.length === MESSAGE_BYTES)) {
      pending.id ??= partialId();
      this.#emit(stream, pending, text.subarray(0, MESSAGE_BYTES), false);
      text = text.subarray(MESSAGE_BYTES);
    }
    if (full) {
      this.#emit(stream, pending, text, true);
      this.#pending.delete(stream);
    } else this.#pending.set(stream, { ...pending, parts: [text], length: text.length });
  }

  #emit(stream: 1 | 2, pending: Pending, text: Uint8Array, last: boolean): void {
    const { seconds, nanos, id } = pending;
    const partial = id === undefined ? {} : { partial: { id, ordinal: ++pending.ordinal, last } };
    this.#messages.push({ stream, seconds, nanos, text, ...partial });
    this.#bytes += text.length + 64;
  }

  /** More lines, of this file or the next one. */
  async #refill(): Promise<boolean> {
    for (;;) {
      if (this.#reader === undefined && !this.#openOldest()) return false;
      // Asked first: what came into this file before the next one was begun is still to be read.
      const next = this.#successor();
      const block = (await this.#reader?.next()) ?? new Uint8Array(0);
      this.#block = block;
      this.#scan.begin(block);
      if (block.length > 0) return true;
      if (next === undefined || !this.#openPath(next)) return false;
    }
  }

  /** The path of the file after this one, if it has been begun. */
  #successor(): string | undefined {
    const current = inodeOf(this.#current);
    if (current === undefined || current === this.#inode) return undefined;
    const numbers = rotatedNumbers(this.#current);
    const own = numbers.findIndex((number) => inodeOf(`${this.#current}.${number}`) === this.#inode);
    // Dropped, or compressed (which is done behind what was shipped only): what is oldest now comes next.
    if (own < 0) {
      this.#after = { ...this.#last };
      this.gap = true;
      return numbers.length === 0 ? this.#current : `${this.#current}.${numbers[0]}`;
    }
    const younger = numbers[own + 1];
    return younger === undefined ? this.#current : `${this.#current}.${younger}`;
  }

  #openOldest(): boolean {
    const [oldest] = rotatedNumbers(this.#current);
    return this.#openPath(oldest === undefined ? this.#current : `${this.#current}.${oldest}`);
  }

  #openInode(inode: number, offset: number): boolean {
    const paths = [this.#current, ...rotatedNumbers(this.#current).map((number) => `${this.#current}.${number}`)];
    const path = paths.find((one) => inodeOf(one) === inode);
    // A number is used again for another file: one that is shorter is none that was read so far.
    return path !== undefined && (statSync(path, { throwIfNoEntry: false })?.size ?? 0) >= offset && this.#openPath(path, offset);
  }

  #openPath(path: string, offset = 0): boolean {
    const inode = inodeOf(path) ?? inodeOf(`${path}.gz`);
    const file = inode === undefined ? undefined : openLog(path);
    if (file === undefined || inode === undefined) return false;
    this.#file?.close();
    this.#file = file;
    this.#inode = inode;
    this.#reader = new BlockReader(file, offset);
    this.#block = new Uint8Array(0);
    this.#scan.begin(this.#block);
    return true;
  }
}

function join({ parts }: Pending): Uint8Array {
  return parts.length === 1 ? (parts[0] ?? new Uint8Array(0)) : Buffer.concat(parts);
}

function toOpen(pending: Pending): OpenLine {
  const { seconds, nanos, id, ordinal } = pending;
  return { seconds, nanos, text: Buffer.from(join(pending)).toString("base64"), ...(id === undefined ? {} : { id, ordinal }) };
}

function fromOpen({ seconds, nanos, text, id, ordinal = 0 }: OpenLine): Pending {
  const bytes = Buffer.from(text, "base64");
  return { seconds, nanos, parts: [bytes], length: bytes.length, id, ordinal };
}

function partialId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
}
