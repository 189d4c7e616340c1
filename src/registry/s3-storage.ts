import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Blob, Ingest, Lease } from "../content/content.ts";
import { sweepBlobs } from "../content/sweep.ts";
import { insertBlob, insertLeaseItem } from "../content/rows.ts";
import { digestOf, hexOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import type { State, Tx } from "../state/state.ts";
import { REGISTRY_ROOTS } from "./rows.ts";
import { restoreIndex, SnapshotTimer } from "./s3-index.ts";
import { SmallBlobs } from "./small-blobs.ts";
import type { S3Settings } from "./settings.ts";
import type { BlobBody, ByteRange, Storage } from "./storage.ts";

/** How long an address that clients are sent to is good, in seconds. */
const PRESIGNED = 3600;
/** Parts of one upload that travel at once, and objects deleted at once. */
const PARALLEL = 4;
/** As the content store's own limit. */
const BLOB_LIMIT = 8 << 20;

/** What a storage in a bucket stands on. */
export interface S3Options {
  state: State;
  /** Where uploads are gathered and hashed until they are whole: a chunked upload goes on there after a restart. */
  local: Storage;
  settings: S3Settings;
}

/**
 * Opens the bucket. An empty index is read from the bucket's copy of it; what a crash left there of no use is deleted.
 * Throws `unavailable` where the bucket cannot be read.
 */
export async function openS3Storage(options: S3Options): Promise<Storage> {
  const storage = new S3Storage(options);
  await storage.open();
  return storage;
}

/** Blobs as objects `PREFIX/blobs/sha256/ab/abcd...`, once each; rows in the state say which are there. */
class S3Storage implements Storage {
  readonly #state: State;
  readonly #local: Storage;
  readonly #settings: S3Settings;
  readonly #client: Bun.S3Client;
  readonly #small = new SmallBlobs();
  readonly #snapshots: SnapshotTimer;
  /** How many uploads of a digest are under way: it is not deleted meanwhile. */
  readonly #arriving = new Map<Digest, number>();
  /** Deletions under way: an upload of the same digest waits for their end. */
  readonly #leaving = new Map<Digest, Promise<void>>();

  constructor({ state, local, settings }: S3Options) {
    this.#state = state;
    this.#local = local;
    this.#settings = settings;
    const { endpoint, region, bucket, accessKeyId, secretAccessKey, virtualHostedStyle } = settings;
    this.#client = new Bun.S3Client({
      bucket,
      virtualHostedStyle,
      ...(endpoint !== undefined && { endpoint }),
      ...(region !== undefined && { region }),
      ...(accessKeyId !== undefined && { accessKeyId }),
      ...(secretAccessKey !== undefined && { secretAccessKey }),
    });
    this.#snapshots = new SnapshotTimer(state, (bytes) => this.#put(this.#name("index.json.gz"), bytes));
  }

  async open(): Promise<void> {
    const index = this.#client.file(this.#name("index.json.gz"));
    const isThere = await this.#probe(index);
    await restoreIndex(this.#state, async () => (isThere ? new Uint8Array(await index.arrayBuffer()) : undefined));
    await this.#sweep().catch((error: unknown) => logOf("registry").warn("cannot tidy up the bucket: {why}", { why: messageOf(error) }));
    this.#snapshots.start();
  }

  /** Whether an object is there; a GET, as only its refusals say why. */
  async #probe(file: Bun.S3File): Promise<boolean> {
    try {
      await file.slice(0, 1).arrayBuffer();
      return true;
    } catch (cause) {
      if ((cause as { code?: unknown }).code === "NoSuchKey") return false;
      const { bucket, endpoint } = this.#settings;
      throw new LighterError("unavailable", `Cannot use bucket "${bucket}" at ${endpoint ?? "S3"}: ${messageOf(cause)}`, { cause });
    }
  }

  blob(digest: Digest): Blob | undefined {
    return this.#local.blob(digest);
  }

  async body(digest: Digest, range?: ByteRange): Promise<BlobBody> {
    const key = this.#key(digest);
    if (this.blob(digest)?.size === 0) return { body: new globalThis.Blob([]) };
    if (this.#settings.redirect) return { redirect: this.#client.presign(key, { expiresIn: PRESIGNED }) };
    // Not a stream of the client's: that would break off in the middle of an answer where the store refuses.
    const headers: Record<string, string> = range === undefined ? {} : { range: `bytes=${range.start}-${range.end}` };
    const answer = await fetch(this.#client.presign(key, { expiresIn: PRESIGNED }), { headers }).catch((cause: unknown) => {
      throw new LighterError("unavailable", `Cannot read ${digest}: ${messageOf(cause)}`, { cause });
    });
    if (answer.ok && answer.body !== null) return { body: answer.body };
    await answer.body?.cancel();
    throw new LighterError("unavailable", `Cannot read ${digest}: the store answered ${answer.status}`);
  }

  async readBlob(digest: Digest, limit = BLOB_LIMIT): Promise<Uint8Array> {
    const blob = this.blob(digest);
    if (blob === undefined) throw new LighterError("not-found", `Cannot read ${digest}: it is not here`);
    if (blob.size > limit)
      throw new LighterError("invalid", `Cannot read ${digest}: it has ${blob.size} bytes, at most ${limit} are expected`);
    const known = this.#small.get(digest);
    if (known !== undefined) return known;
    const read = this.#client.file(this.#key(digest)).arrayBuffer();
    const bytes = new Uint8Array(
      await read.catch((cause: unknown) => {
        throw new LighterError("unavailable", `Cannot read ${digest}: ${messageOf(cause)}`, { cause });
      }),
    );
    this.#small.put(digest, bytes);
    return bytes;
  }

  async writeBlob(data: Uint8Array, mediaType: string, lease: Lease): Promise<Blob> {
    const digest = digestOf(data);
    lease.addBlob(digest);
    const blob: Blob = { digest, size: data.length, mediaType };
    await this.#store(blob, lease, () => this.#put(this.#key(digest), data));
    this.#small.put(digest, data);
    return blob;
  }

  setEdges(tx: Tx, parent: Digest, children: readonly Digest[]): void {
    this.#local.setEdges(tx, parent, children);
  }

  lease(purpose: string): Lease {
    return this.#local.lease(purpose);
  }

  async ingest(ref: string): Promise<Ingest> {
    const inner = await this.#local.ingest(ref);
    return {
      get offset() {
        return inner.offset;
      },
      get received() {
        return inner.received;
      },
      path: inner.path,
      place: (position, data) => inner.place(position, data),
      holes: (size) => inner.holes(size),
      digest: () => inner.digest(),
      write: (data) => inner.write(data),
      give: (data) => inner.give(data),
      restart: () => inner.restart(),
      suspend: () => inner.suspend(),
      abort: () => inner.abort(),
      commit: (expected, lease) => this.#commit(inner, expected, lease),
    };
  }

  isIngesting(ref: string): boolean {
    return this.#local.isIngesting(ref);
  }

  async collect(): Promise<{ bytes: number; blobs: Digest[] }> {
    const forget = (tx: Tx, digests: readonly Digest[]): void =>
      digests.forEach((digest) => tx.run("INSERT OR IGNORE INTO registry_garbage (digest) VALUES (?)", digest));
    const swept = await sweepBlobs({ state: this.#state, roots: [REGISTRY_ROOTS], forget });
    await this.#sweep();
    return swept;
  }

  async sweepUploads(age: number): Promise<void> {
    await this.#local.sweepUploads(age);
  }

  usage(): { blobs: number; partial: number } {
    const blobs = this.#state.get<{ bytes: number }>("SELECT COALESCE(SUM(size), 0) AS bytes FROM blobs")?.bytes ?? 0;
    return { blobs, partial: this.#local.usage().partial };
  }

  async close(): Promise<void> {
    await this.#snapshots.stop();
  }

  async #commit(inner: Ingest, expected: { digest: Digest; size?: number; mediaType: string }, lease: Lease): Promise<Blob> {
    const { digest, mediaType } = expected;
    const size = inner.offset;
    const found = await inner.digest();
    if (found !== digest || (expected.size !== undefined && expected.size !== size)) {
      await inner.abort();
      throw new LighterError("invalid", `Cannot store ${digest}: the content has the digest ${found} and ${size} bytes`);
    }
    const blob: Blob = { digest, size, mediaType };
    try {
      lease.addBlob(digest);
      await this.#store(blob, lease, () => this.#upload(inner.path, blob));
    } catch (error) {
      // What arrived stays, so that the client can end its upload again.
      await inner.suspend();
      throw error;
    }
    await inner.abort();
    return blob;
  }

  /** Makes an object and its row, unless they are there. Until the row is there, the object counts as garbage: a kill in between leaves nothing behind (a power cut, an object that nobody needs). */
  async #store(blob: Blob, lease: Lease, send: () => Promise<void>): Promise<void> {
    const { digest } = blob;
    this.#arriving.set(digest, (this.#arriving.get(digest) ?? 0) + 1);
    try {
      await this.#leaving.get(digest);
      if (this.blob(digest) !== undefined) return;
      this.#state.write((tx) => void tx.run("INSERT OR IGNORE INTO registry_garbage (digest) VALUES (?)", digest), { durable: false });
      await send().catch((cause: unknown) => {
        throw kindOf(cause) === "no-space"
          ? cause
          : new LighterError("unavailable", `Cannot store ${digest}: ${messageOf(cause)}`, { cause });
      });
      this.#state.write(
        (tx) => {
          insertBlob(tx, blob);
          insertLeaseItem(tx, lease.id, "blob", digest);
          tx.run("DELETE FROM registry_garbage WHERE digest = ?", digest);
        },
        { durable: false },
      );
    } finally {
      const left = (this.#arriving.get(digest) ?? 1) - 1;
      if (left === 0) this.#arriving.delete(digest);
      else this.#arriving.set(digest, left);
    }
  }

  /** Sends a file, in parts where it is large, and makes sure that the store has all of it. */
  async #upload(path: string, { digest, size }: Blob): Promise<void> {
    const key = this.#key(digest);
    const { partSize } = this.#settings;
    if (size <= partSize) return await this.#put(key, new Uint8Array(await Bun.file(path).arrayBuffer()));
    const writer = this.#client.file(key).writer({ partSize, queueSize: PARALLEL, retry: 3 });
    for await (const piece of Bun.file(path).stream()) {
      await writer.write(piece);
      await writer.flush();
    }
    await writer.end();
    const stored = await this.#client.stat(key);
    if (stored.size !== size) throw new LighterError("unavailable", `the store has ${stored.size} of ${size} bytes`);
  }

  async #put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#client.write(key, bytes);
  }

  /** Deletes objects that no row names: not before the bucket's copy of the index names them no more, as somebody may have to begin with that. */
  async #sweep(): Promise<void> {
    const rows = this.#state.all<{ digest: Digest }>("SELECT digest FROM registry_garbage");
    if (rows.length === 0) return;
    await this.#snapshots.now();
    for (let at = 0; at < rows.length; at += PARALLEL)
      await Promise.all(rows.slice(at, at + PARALLEL).map(({ digest }) => this.#remove(digest)));
  }

  async #remove(digest: Digest): Promise<void> {
    if (this.#arriving.has(digest) || this.#leaving.has(digest)) return;
    const forget = (): void =>
      this.#state.write((tx) => void tx.run("DELETE FROM registry_garbage WHERE digest = ?", digest), { durable: false });
    if (this.blob(digest) !== undefined) return forget();
    this.#small.drop(digest);
    const gone = this.#client.delete(this.#key(digest));
    this.#leaving.set(
      digest,
      gone.then(
        () => undefined,
        () => undefined,
      ),
    );
    try {
      await gone;
      forget();
    } finally {
      this.#leaving.delete(digest);
    }
  }

  #key(digest: Digest): string {
    const hex = hexOf(digest);
    return this.#name(`blobs/sha256/${hex.slice(0, 2)}/${hex}`);
  }

  #name(rest: string): string {
    return this.#settings.prefix === "" ? rest : `${this.#settings.prefix}/${rest}`;
  }
}
