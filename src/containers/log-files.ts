import { type FileHandle, open } from "node:fs/promises";
import { logOf } from "../base/log.ts";

const NEWLINE = 0x0a;
const BLOCK = 1 << 18;

/**
 * A log as it lies on disk: the file that conmon writes (`current`), and those that were rotated away by rename (`current.1` is the youngest).
 * Files are opened when they are reached; a rename does not disturb a reader.
 */
export function logFileNames(current: string, rotated: number): string[] {
  const older = Array.from({ length: rotated }, (_, index) => `${current}.${rotated - index}`);
  return [...older, current];
}

/** Opens a log file; undefined when it is not there. */
export async function openLog(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") logOf("containers").warn("cannot read the log {path}: {error}", { path, error });
    return undefined;
  }
}

/** Whole lines of a file from an offset on, a block's worth at a time; a line without newline at the end is left for the next read. */
export class LineReader {
  readonly #file: FileHandle;
  #offset: number;
  #rest = new Uint8Array(0);

  constructor(file: FileHandle, offset = 0) {
    this.#file = file;
    this.#offset = offset;
  }

  /** How far was read, in bytes. */
  get offset(): number {
    return this.#offset;
  }

  /** Lines that are there now, without their newlines; none when nothing new has come. A file that was cut is read from its beginning. */
  async next(): Promise<Uint8Array[]> {
    for (;;) {
      const block = new Uint8Array(BLOCK);
      const { bytesRead } = await this.#file.read(block, 0, BLOCK, this.#offset);
      if (bytesRead === 0) {
        if (!(await this.#wasCut())) return [];
        continue;
      }
      this.#offset += bytesRead;
      const lines = this.#split(block.subarray(0, bytesRead));
      if (lines.length > 0) return lines;
    }
  }

  async #wasCut(): Promise<boolean> {
    const { size } = await this.#file.stat();
    if (size >= this.#offset) return false;
    this.#offset = 0;
    this.#rest = new Uint8Array(0);
    return true;
  }

  #split(bytes: Uint8Array): Uint8Array[] {
    const lines: Uint8Array[] = [];
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      const part = bytes.subarray(from, at);
      lines.push(this.#rest.length === 0 ? part : Buffer.concat([this.#rest, part]));
      this.#rest = new Uint8Array(0);
      from = at + 1;
    }
    if (from < bytes.length) this.#rest = Buffer.concat([this.#rest, bytes.subarray(from)]);
    return lines;
  }
}
