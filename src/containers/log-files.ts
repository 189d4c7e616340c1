import { closeSync, existsSync, fstat, openSync, read, readdirSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { logOf } from "../base/log.ts";
import { PackedLog } from "./log-packed.ts";
import type { OpenLog } from "./log-source.ts";

/** What the name of a compressed file ends with. */
export const PACKED = ".gz";

/** An open file. It is opened at once, so that several can be opened with no rotation in between, and read in the background. */
export class LogFile implements OpenLog {
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

/** Opens a log file, as it is or compressed; undefined when it is not there. */
export function openLog(path: string): OpenLog | undefined {
  const plain = openPlain(path);
  if (plain !== undefined) return plain;
  const packed = openPlain(`${path}${PACKED}`);
  return packed && new PackedLog(packed);
}

function openPlain(path: string): LogFile | undefined {
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
  const numbers = namesIn(dirname(current)).flatMap((name) => {
    const number = name.startsWith(prefix) ? /^([1-9]\d*)(\.gz)?$/.exec(name.slice(prefix.length))?.[1] : undefined;
    return number === undefined ? [] : [Number(number)];
  });
  return [...new Set(numbers)].sort((a, b) => b - a);
}

/** What a file is known by while it is renamed. */
export function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** The path of a file that was rotated away, as it is or compressed. */
export function rotatedPath(current: string, number: number): string {
  const path = `${current}.${number}`;
  return existsSync(path) ? path : `${path}${PACKED}`;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
