import { Database, type SQLQueryBindings } from "bun:sqlite";
import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { MIGRATIONS } from "./migrations.ts";
import { CHECKPOINT_PAGES, Reserve } from "./reserve.ts";
import { Statements } from "./statements.ts";

/** A value that SQLite takes; bigints are 64-bit integers. */
export type Value = SQLQueryBindings;

/** Reads rows. Statements are cached by their text, so pass constants and parameters, never text put together from input. */
export interface Reader {
  /** The first row, or undefined. Integers come as numbers; ask for `CAST(x AS TEXT)` where 53 bits are too few (times). */
  get<Row>(sql: string, ...values: Value[]): Row | undefined;
  all<Row>(sql: string, ...values: Value[]): Row[];
}

/** One write transaction. Synchronous: no `await` may happen while it is open. */
export interface Tx extends Reader {
  /** Runs a statement; returns how many rows it changed and the last row id. */
  run(sql: string, ...values: Value[]): { changes: number; lastId: number };
  /** Calls back once the transaction is committed (never when it is rolled back), in order, outside of it. */
  afterCommit(callback: () => void): void;
}

/** How much of a power cut a write must survive; after `kill -9` nothing acknowledged is lost either way. */
export interface WriteOptions {
  /** True: on disk before `write` returns (images, tags, volumes, networks, containers without `--rm`). False: rides on the next checkpoint. */
  durable: boolean;
}

/**
 * The daemon's one database (SQLite, WAL): one writer, on the main thread, in one process.
 * Reads through `state` see all committed writes.
 */
export class State implements Reader {
  /** The file. */
  readonly path: string;
  readonly #db: Database;
  readonly #reserve: Reserve;
  readonly #statements: Statements;
  #synchronous: "FULL" | "NORMAL" = "NORMAL";
  #open: (() => void)[] | undefined;
  #revision = 0;

  /** Opens or makes the database and brings its schema up to date. A database of a newer Lighter is refused with `conflict`. */
  constructor(path: string) {
    this.path = path;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#db = new Database(path, { create: true, strict: true });
    this.#statements = new Statements(this.#db);
    // Environments of containers are in it; SQLite gives its log the same mode.
    chmodSync(path, 0o600);
    for (const pragma of [
      "journal_mode=WAL",
      "synchronous=NORMAL",
      "foreign_keys=ON",
      "busy_timeout=2000",
      `wal_autocheckpoint=${CHECKPOINT_PAGES}`,
      "temp_store=MEMORY",
    ]) {
      this.#db.run(`PRAGMA ${pragma}`);
    }
    this.#migrate();
    this.#reserve = new Reserve(this.#db);
  }

  get<Row>(sql: string, ...values: Value[]): Row | undefined {
    return this.#statements.get(sql, ...values);
  }

  all<Row>(sql: string, ...values: Value[]): Row[] {
    return this.#statements.all(sql, ...values);
  }

  /**
   * Runs `change` in one transaction: all of it is stored, or nothing (it throws: what it threw comes out).
   * A broken UNIQUE constraint comes out as `conflict`; catch it where Docker has a sentence of its own.
   */
  write<T>(change: (tx: Tx) => T, options: WriteOptions): T {
    if (this.#open !== undefined) throw new LighterError("internal", "Cannot open a transaction: one is open already");
    this.#setSynchronous(options.durable ? "FULL" : "NORMAL");
    const callbacks: (() => void)[] = [];
    this.#open = callbacks;
    this.#db.run("BEGIN IMMEDIATE");
    let result: T;
    try {
      result = change(this.#statements.tx((callback) => void callbacks.push(callback)));
      this.#db.run("COMMIT");
      this.#revision++;
    } catch (error) {
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
      throw translate(error);
    } finally {
      this.#open = undefined;
    }
    for (const callback of callbacks) callback();
    return result;
  }

  /** Goes up with every write: what was read is still so while it stays the same. */
  get revision(): number {
    return this.#revision;
  }

  /** The schema's version, as `PRAGMA user_version` holds it. */
  get version(): number {
    return this.get<{ user_version: number }>("PRAGMA user_version")?.user_version ?? 0;
  }

  /** Moves the log into the main file, where the disk has room for that, and closes. */
  close(): void {
    this.#reserve.close();
    this.#statements.finalize();
    try {
      this.#db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // A full disk: the log holds everything, and is read at the next start.
      logOf("state").debug("the log of {path} stays: {error}", { path: this.path, error });
    }
    this.#db.close();
  }

  #setSynchronous(mode: "FULL" | "NORMAL"): void {
    if (this.#synchronous === mode) return;
    this.#db.run(`PRAGMA synchronous=${mode}`);
    this.#synchronous = mode;
  }

  #migrate(): void {
    const from = this.version;
    if (from > MIGRATIONS.length) {
      throw new LighterError(
        "conflict",
        `Cannot open the state: its schema is version ${from}, this Lighter knows up to ${MIGRATIONS.length}; use the newer Lighter`,
      );
    }
    for (const [index, sql] of MIGRATIONS.entries()) {
      if (index < from) continue;
      this.#db.transaction(() => {
        this.#db.run(sql);
        this.#db.run(`PRAGMA user_version=${index + 1}`);
      })();
    }
  }
}

function translate(error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === "string" && code.startsWith("SQLITE_CONSTRAINT"))
    return new LighterError("conflict", (error as Error).message, { cause: error });
  if (code === "SQLITE_FULL") return new LighterError("no-space", "Cannot store the change: no space left on device", { cause: error });
  return error;
}
