import { runJob } from "./pool.ts";

/**
 * Flushes a file system beside the work of others: the thread that waits for the disk does nothing else, and who asks while a flush runs shares the next
 * one with all others who do.
 */
export class DiskSync {
  readonly #path: string;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** @param path a directory on the file system */
  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves once everything that was written before this call is on disk. */
  flush(): Promise<void> {
    if (this.#running === undefined) return this.#begin();
    const after = (): Promise<void> => {
      this.#next = undefined;
      return this.#begin();
    };
    return (this.#next ??= this.#running.then(after, after));
  }

  #begin(): Promise<void> {
    const mine = runJob("syncDisk", { path: this.#path }, { apart: true }).finally(() => {
      if (this.#running === mine) this.#running = undefined;
    });
    return (this.#running = mine);
  }
}
