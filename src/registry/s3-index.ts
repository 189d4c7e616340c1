import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { State, Value } from "../state/state.ts";

/** How often the bucket's copy of the index follows, in milliseconds: what is newer is lost with the disk that has the index. */
const EVERY = 30_000;

/** The tables of the index and their columns, in the order in which they can be filled. */
const TABLES = {
  blobs: ["digest", "size", "media_type", "created"],
  blob_edges: ["parent", "child"],
  registry_links: ["repository", "digest", "kind", "media_type", "created", "pulled", "seen", "content"],
  registry_tags: ["repository", "tag", "digest", "updated", "pulled"],
  registry_referrers: ["repository", "subject", "digest", "artifact_type", "descriptor_json"],
  registry_upstream_tags: ["repository", "tag", "checked"],
} as const;

/** Times are more than numbers in JSON hold. */
const TIMES = new Set(["created", "pulled", "seen", "updated", "checked"]);

interface Snapshot {
  version: 1;
  tables: Record<string, Value[][]>;
}

/** Fills an empty index from the bucket's copy of it. */
export async function restoreIndex(state: State, read: () => Promise<Uint8Array | undefined>): Promise<void> {
  if (state.get("SELECT 1 FROM registry_links LIMIT 1") !== undefined) return;
  const packed = await read();
  if (packed === undefined) return;
  const { tables } = JSON.parse((await promisify(gunzip)(packed)).toString()) as Snapshot;
  state.write(
    (tx) => {
      for (const [table, columns] of Object.entries(TABLES)) {
        const sql = `INSERT OR IGNORE INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`;
        for (const row of tables[table] ?? [])
          tx.run(sql, ...columns.map((column, at) => (TIMES.has(column) ? BigInt(String(row[at])) : (row[at] ?? null))));
      }
    },
    { durable: true },
  );
  logOf("registry").info("the index was read from the bucket", { tags: tables["registry_tags"]?.length ?? 0 });
}

/** The index as it is now, packed. */
async function snapshot(state: State): Promise<Uint8Array> {
  const tables: Snapshot["tables"] = {};
  for (const [table, columns] of Object.entries(TABLES)) {
    const selected = columns.map((column) => (TIMES.has(column) ? `CAST(${column} AS TEXT) AS ${column}` : column));
    tables[table] = state
      .all<Record<string, Value>>(`SELECT ${selected.join(", ")} FROM ${table}`)
      .map((row) => columns.map((column) => row[column] ?? null));
  }
  return await promisify(gzip)(JSON.stringify({ version: 1, tables } satisfies Snapshot), { level: 1 });
}

/** Writes the index to the bucket when it has changed. */
export class SnapshotTimer {
  readonly #state: State;
  readonly #put: (bytes: Uint8Array) => Promise<void>;
  #timer: ReturnType<typeof setInterval> | undefined;
  #written = "";
  #writing: Promise<void> = Promise.resolve();

  constructor(state: State, put: (bytes: Uint8Array) => Promise<void>) {
    this.#state = state;
    this.#put = put;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#next(), EVERY).unref();
  }

  /** Writes what is not there yet. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#next();
  }

  /** Writes the index as it is now, whatever is there. Throws where the bucket does not take it. */
  async now(): Promise<void> {
    const written = this.#writing.then(() => {
      this.#written = "";
      return this.#write();
    });
    this.#writing = written.catch(() => undefined);
    await written;
  }

  #next(): Promise<void> {
    return (this.#writing = this.#writing.then(() =>
      this.#write().catch((error: unknown) => {
        logOf("registry").warn("cannot copy the index to the bucket: {why}", { why: messageOf(error) });
      }),
    ));
  }

  async #write(): Promise<void> {
    const mark = this.#mark();
    if (mark === this.#written) return;
    await this.#put(await snapshot(this.#state));
    this.#written = mark;
  }

  /** Changes with whatever a push, a delete or a collection changes; not with pulls alone. */
  #mark(): string {
    const row = this.#state.get<object>(
      `SELECT (SELECT COUNT(*) FROM registry_links) AS links, (SELECT CAST(MAX(created) AS TEXT) FROM registry_links) AS linked,
        (SELECT COUNT(*) FROM registry_tags) AS tags, (SELECT CAST(MAX(updated) AS TEXT) FROM registry_tags) AS tagged,
        (SELECT COUNT(*) FROM blobs) AS blobs`,
    );
    return JSON.stringify(row);
  }
}
