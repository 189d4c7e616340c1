import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGzip, gunzip } from "node:zlib";
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

/** How many columns of each, from the first on, are its key. */
const KEYS: Record<keyof typeof TABLES, number> = {
  blobs: 1,
  blob_edges: 2,
  registry_links: 2,
  registry_tags: 2,
  registry_referrers: 3,
  registry_upstream_tags: 2,
};

/** Rows that are read in one turn of the event loop. */
const SLICE = 1000;
/** So often the index is read in slices; when it changes under each reading, it is read in one turn. */
const ATTEMPTS = 3;
/** More rows than there are. */
const ALL = 2 ** 40;

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

/** The index as text, so many rows at a time. */
function* slices(state: State, most: number): Generator<string> {
  let open = '{"version":1,"tables":{';
  for (const table of Object.keys(TABLES) as (keyof typeof TABLES)[]) {
    yield `${open}"${table}":[`;
    yield* rowsOf(state, table, most);
    open = "],";
  }
  yield "]}}";
}

function* rowsOf(state: State, table: keyof typeof TABLES, most: number): Generator<string> {
  const columns: readonly string[] = TABLES[table];
  const key = columns.slice(0, KEYS[table]);
  const selected = columns.map((column) => (TIMES.has(column) ? `CAST(${column} AS TEXT) AS ${column}` : column)).join(", ");
  let last: Value[] = [];
  for (let first = true; ; first = false) {
    const after = first ? "" : `WHERE (${key.join(", ")}) > (${key.map(() => "?").join(", ")})`;
    const sql = `SELECT ${selected} FROM ${table} ${after} ORDER BY ${key.join(", ")} LIMIT ${most}`;
    const rows = state.all<Record<string, Value>>(sql, ...last).map((row) => columns.map((column) => row[column] ?? null));
    if (rows.length > 0) yield `${first ? "" : ","}${rows.map((row) => JSON.stringify(row)).join(",")}`;
    if (rows.length < most) return;
    last = rows.at(-1)?.slice(0, key.length) ?? [];
  }
}

/** Requests have their turn between two slices. */
async function* byTurns(pieces: Iterable<string>): AsyncGenerator<string> {
  for (const piece of pieces) {
    yield piece;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function packed(pieces: AsyncIterable<string> | Iterable<string>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  await pipeline(Readable.from(pieces), createGzip({ level: 1 }), async (source: AsyncIterable<Uint8Array>) => {
    for await (const part of source) parts.push(part);
  });
  return Buffer.concat(parts);
}

/** Writes the index to the bucket when it has changed. */
export class SnapshotTimer {
  readonly #state: State;
  readonly #put: (bytes: Uint8Array) => Promise<void>;
  readonly #slice: number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #written = "";
  #writing: Promise<void> = Promise.resolve();

  /** @param slice rows that are read in one turn, in place of the usual number */
  constructor(state: State, put: (bytes: Uint8Array) => Promise<void>, slice = SLICE) {
    this.#state = state;
    this.#put = put;
    this.#slice = slice;
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
    for (let attempt = 1; ; attempt++) {
      const mark = this.#mark();
      if (mark === this.#written) return;
      const last = attempt === ATTEMPTS;
      const bytes = await packed(last ? [...slices(this.#state, ALL)] : byTurns(slices(this.#state, this.#slice)));
      // What was read by turns is of one moment where nothing changed meanwhile.
      if (!last && this.#mark() !== mark) continue;
      await this.#put(bytes);
      this.#written = mark;
      return;
    }
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
