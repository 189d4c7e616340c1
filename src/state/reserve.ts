import type { Database } from "bun:sqlite";

const PAGE = 4096;
/** Pages of the main file that are kept free: what rows may grow by while the disk is full. */
const FREE_PAGES = 800;
/** The log is moved into the main file, and begun anew, at this many pages... */
export const CHECKPOINT_PAGES = 1000;
/** ...and is made longer than that once, in so many steps, as its file keeps the space that it had. */
const STEPS = 6;
const STEP_BYTES = 220 * PAGE;
const STEP_MILLISECONDS = 50;
const AGAIN_MILLISECONDS = 300_000;

/**
 * Space that the database has before it needs it: containers have to be stopped and removed when the disk is full, and each of it is written down.
 * Both the log and the main file are written over in place then. Does its work in small steps beside everything else.
 */
export class Reserve {
  readonly #db: Database;
  #timer: Timer | undefined;

  constructor(db: Database) {
    this.#db = db;
    this.#later(STEP_MILLISECONDS, STEPS);
  }

  /** Ends the work; what is reserved stays. */
  close(): void {
    clearTimeout(this.#timer);
    try {
      this.#db.run("DELETE FROM reserve");
    } catch {
      // The next one does it.
    }
  }

  #later(milliseconds: number, steps: number): void {
    this.#timer = setTimeout(() => this.#step(steps), milliseconds).unref();
  }

  #step(steps: number): void {
    try {
      if (steps > 0) this.#db.run("INSERT INTO reserve (bytes) VALUES (zeroblob(?))", [STEP_BYTES]);
      else this.#release();
    } catch {
      // The disk is full, or the state is being written: later.
      return this.#later(AGAIN_MILLISECONDS, STEPS);
    }
    if (steps > 0) this.#later(STEP_MILLISECONDS, steps - 1);
    else this.#later(AGAIN_MILLISECONDS, this.#free() < FREE_PAGES ? STEPS : 0);
  }

  /** What was written is removed again: its pages are the log's now and, free, the main file's. */
  #release(): void {
    this.#db.run("DELETE FROM reserve");
    this.#db.run("PRAGMA wal_checkpoint(PASSIVE)");
  }

  #free(): number {
    return (this.#db.query("PRAGMA freelist_count").get() as { freelist_count: number } | null)?.freelist_count ?? 0;
  }
}
