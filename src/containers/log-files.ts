import { closeSync, fstat, openSync, read, readdirSync } from "node:fs";
import { basename, dirname } from "node:path";
import { logOf } from "../base/log.ts";
import { withoutHole } from "./log-line.ts";

const NEWLINE = 0x0a;
const BLOCK = 1 << 18;

/** What readers of logs read from: a {@link LogFile}, or a file handle of `node:fs/promises`. */
export interface LogSource {
  read(block: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  stat(): Promise<{ size: number; mtimeMs: number }>;
}

/** An open log file. It is opened at once, so that several can be opened with no rotation in between, and read in the background. */
export class LogFile implements LogSource {
  readonly #fd: number;
  #closed = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(block: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return new Promise((resolve, reject) =>
      read(this.#fd, block, offset, length, position, (error, bytesRead) => (error ? reject(error) : resolve({ bytesRead }))),
    );
  }

  stat(): Promise<{ size: number; mtimeMs: number }> {
    return new Promise((resolve, reject) => fstat(this.#fd, (error, stats) => (error ? reject(error) : resolve(stats))));
  }

  close(): void {
    if (!this.#closed) closeSync(this.#fd);
    this.#closed = true;
  }
}

/** Opens a log file; undefined when it is not there. */
export function openLog(path: string): LogFile | undefined {
  try {
    return new LogFile(openSync(path, "r"));
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") logOf("containers").warn("cannot read the log {path}: {error}", { path, error });
    return undefined;
  }
}

/** The numbers of the files that were rotated away (`current.1` is the youngest), oldest first. A crash may have left gaps. */
export function rotatedNumbers(current: string): number[] {
  const prefix = `${basename(current)}.`;
  return namesIn(dirname(current))
    .filter((name) => name.startsWith(prefix) && /^[1-9]\d*$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => b - a);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Whole lines of a file from an offset on, a block's worth at a time; a line without newline at the end is left for the next read. */
export class LineReader {
  readonly #file: LogSource;
  #offset: number;
  #rest = new Uint8Array(0);

  constructor(file: LogSource, offset = 0) {
    this.#file = file;
    this.#offset = offset;
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
      lines.push(this.#joined(bytes.subarray(from, at)));
      this.#rest = new Uint8Array(0);
      from = at + 1;
    }
    if (from < bytes.length) this.#rest = this.#joined(bytes.subarray(from)).slice();
    return lines;
  }

  #joined(part: Uint8Array): Uint8Array {
    return this.#rest.length === 0 ? withoutHole(part) : Buffer.concat([this.#rest, part]);
  }
}
