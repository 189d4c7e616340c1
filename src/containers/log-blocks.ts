import type { LogSource } from "./log-source.ts";

const NEWLINE = 0x0a;
const BLOCK = 1 << 18;

/** Whole lines of a log file from an offset on, many at a time; a line without newline at the end is left for the next read. */
export class BlockReader {
  readonly #file: LogSource;
  #offset: number;
  #rest = new Uint8Array(0);

  constructor(file: LogSource, offset = 0) {
    this.#file = file;
    this.#offset = offset;
  }

  /** Where the line begins that comes next. */
  get offset(): number {
    return this.#offset - this.#rest.length;
  }

  /** Lines that are there now, each with its newline; empty when nothing new has come. A file that was cut is read from its beginning. */
  async next(): Promise<Uint8Array> {
    for (;;) {
      const kept = this.#rest.length;
      const block = new Uint8Array(kept + BLOCK);
      const { bytesRead } = await this.#file.read(block, kept, BLOCK, this.#offset);
      if (bytesRead === 0) {
        if (!(await this.#wasCut())) return new Uint8Array(0);
        continue;
      }
      block.set(this.#rest);
      this.#offset += bytesRead;
      const end = block.lastIndexOf(NEWLINE, kept + bytesRead - 1) + 1;
      this.#rest = block.slice(end, kept + bytesRead);
      // A hole is no line, however long it is.
      if (end === 0 && this.#rest[0] === 0 && this.#rest.every((byte) => byte === 0)) this.#rest = new Uint8Array(0);
      if (end > 0) return block.subarray(0, end);
    }
  }

  async #wasCut(): Promise<boolean> {
    const { size } = await this.#file.stat();
    if (size >= this.#offset) return false;
    this.#offset = 0;
    this.#rest = new Uint8Array(0);
    return true;
  }
}
