import { runJob } from "./pool.ts";
import { SharedRun } from "./shared-run.ts";

/** Flushes a file system beside the work of others: the thread that waits for the disk does nothing else. */
export class DiskSync {
  readonly #flushes: SharedRun;

  /** @param path a directory on the file system */
  constructor(path: string) {
    this.#flushes = new SharedRun(() => runJob("syncDisk", { path }, { apart: "disk" }));
  }

  /** Resolves once everything that was written before this call is on disk. */
  flush(): Promise<void> {
    return this.#flushes.run();
  }
}
