import { readFile, stat } from "node:fs/promises";
import { LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";

/** What a file says, read again when it changes. One that is wrong or gone for a moment leaves things as they were, and is told in the log once. */
export class WatchedFile<T> {
  readonly #path: string;
  readonly #parse: (text: string) => T;
  #value: T;
  #seen: string;
  #told = "";

  private constructor(path: string, parse: (text: string) => T, value: T, seen: string) {
    this.#path = path;
    this.#parse = parse;
    this.#value = value;
    this.#seen = seen;
  }

  /** Reads the file. Throws `invalid`, and what `parse` throws. */
  static async open<T>(path: string, parse: (text: string) => T): Promise<WatchedFile<T>> {
    try {
      const seen = await stateOf(path);
      return new WatchedFile(path, parse, parse(await readFile(path, "utf8")), seen);
    } catch (cause) {
      if (cause instanceof LighterError) throw cause;
      throw new LighterError("invalid", `Cannot read "${path}": ${messageOf(cause)}`, { cause });
    }
  }

  get value(): T {
    return this.#value;
  }

  /** Looks whether the file has changed. Never throws. */
  async refresh(): Promise<void> {
    try {
      const seen = await stateOf(this.#path);
      if (seen === this.#seen) return;
      this.#value = this.#parse(await readFile(this.#path, "utf8"));
      this.#seen = seen;
      this.#told = "";
    } catch (error) {
      const message = messageOf(error);
      if (message !== this.#told) logOf("registry").warn("{message}; what it said before still counts", { message, file: this.#path });
      this.#told = message;
    }
  }
}

async function stateOf(path: string): Promise<string> {
  const { mtimeNs, size, ino } = await stat(path, { bigint: true });
  return `${mtimeNs} ${size} ${ino}`;
}
