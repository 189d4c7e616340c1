import { openLog, rotatedNumbers } from "./log-files.ts";
import type { OpenLog } from "./log-source.ts";

/** Counts a log's rotations: by it a reader finds the file that came after its own, whatever that is called by now. */
export interface Rotations {
  rotations: number;
}

/**
 * A log as it lies on disk: `current`, which conmon writes, and what was rotated away by rename. All files are opened at one moment, as a rotation is
 * one moment, too; renames and removals then do not disturb the reader.
 */
export class LogChain {
  /** Oldest first. */
  readonly files: OpenLog[];
  readonly #current: string;
  readonly #log: Rotations;
  /** How many rotations there had been when the last of the files was begun. */
  #sequence: number;

  constructor(current: string, log: Rotations) {
    this.#current = current;
    this.#log = log;
    const last = openLog(current);
    const older = rotatedNumbers(current).flatMap((number) => openLog(`${current}.${number}`) ?? []);
    this.files = last === undefined ? older : [...older, last];
    // It is missing after a rename, until conmon has begun the next one.
    this.#sequence = last === undefined ? log.rotations - 1 : log.rotations;
  }

  /**
   * The file after the last one, if it has been begun: from then on nothing comes into the last one. What was dropped meanwhile for want of room is
   * passed over.
   */
  next(): OpenLog | undefined {
    const { rotations } = this.#log;
    for (let number = rotations - this.#sequence - 1; number >= 0; number--) {
      const file = openLog(number === 0 ? this.#current : `${this.#current}.${number}`);
      if (file === undefined) continue;
      this.files.push(file);
      this.#sequence = rotations - number;
      return file;
    }
    return undefined;
  }

  close(): void {
    for (const file of this.files) file.close();
  }
}
