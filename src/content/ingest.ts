import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { LighterError } from "../base/errors.ts";
import type { Digest } from "../oci/image.ts";
import { ApartWriter } from "./apart-writer.ts";
import type { Blob, ContentOptions, Ingest, Lease } from "./content.ts";
import { addExtent, type Extent, formatExtents, holesBetween, lengthOf, parseExtents } from "./extents.ts";
import { blobFile, ingestFile, type Places } from "./places.ts";
import { deleteIngest, findExtents, insertBlob, insertLeaseItem, saveExtents, touchIngest } from "./rows.ts";
import { SharedRun } from "./shared-run.ts";
import { spaced } from "./spaced.ts";

const CHUNK = 1 << 20;

/** What is given is written by another thread once there is so much of it, in bytes: below that the way there costs more than it saves. */
const LARGE = 1 << 18;

/** What was placed apart is noted at most this often, in milliseconds: so much of it a crash may lose. */
const NOTE = 5;

/** Begins the `ref` of an ingest that nobody can go on with after a crash, as its source is gone: what is left of it goes at the next start. */
export const UNREPEATED = "once:";

/** What an ingest tells those who read its file while it grows. */
export interface IngestWatcher {
  /** So many bytes are there. */
  grown(size: number): void;
  /** What was there is gone. */
  restarted(): void;
}

/** A blob under way: a file named by its `ref`, and the hash of what is in it. */
export class FileIngest implements Ingest {
  readonly #options: { ref: string; places: Places; state: ContentOptions["state"]; closed: () => void };
  readonly #file: FileHandle;
  readonly watchers = new Set<IngestWatcher>();
  #hash = new Bun.CryptoHasher("sha256");
  #size = 0;
  /** What is there behind a gap, and whether the row says so: then the length of the file means nothing. */
  #apart: Extent[] = [];
  #scattered = false;
  #noted = 0;
  #open = true;
  /** Writes and hashes in place of this thread, once there is one. */
  #writer: ApartWriter | undefined;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: { ref: string; places: Places; state: ContentOptions["state"]; closed: () => void }, file: FileHandle) {
    this.#options = options;
    this.#file = file;
  }

  /** Opens the file of a ref, hashing what a run before left in it. `closed` is called once nobody writes any more. */
  static async open(options: { ref: string; places: Places; state: ContentOptions["state"]; closed: () => void }): Promise<FileIngest> {
    options.state.write((tx) => touchIngest(tx, options.ref), { durable: false });
    const path = ingestFile(options.places, options.ref);
    const ingest = new FileIngest(options, await open(path, (await exists(path)) ? "r+" : "wx+", 0o600));
    try {
      await ingest.#recall();
    } catch (error) {
      await ingest.#file.close();
      throw error;
    }
    return ingest;
  }

  get offset(): number {
    return this.#size;
  }

  async digest(): Promise<Digest> {
    const digest = this.#last.then(() => this.#writer?.digest() ?? (`sha256:${this.#hash.copy().digest("hex")}` as const));
    this.#last = digest;
    return await digest;
  }

  get received(): number {
    return this.#size + lengthOf(this.#apart);
  }

  holes(size: number): Extent[] {
    return holesBetween(this.#apart, this.#size, size);
  }

  /** The file that readers may follow. */
  get path(): string {
    return ingestFile(this.#options.places, this.#options.ref);
  }

  /** Writes follow each other even where a caller does not wait. */
  async write(data: Uint8Array): Promise<void> {
    this.#check();
    await (this.#last = this.#last.then(() => this.#put(data, this.#size)));
  }

  async give(data: Uint8Array): Promise<void> {
    this.#check();
    await (this.#last = this.#last.then(() => {
      if (this.#size + data.length >= LARGE)
        this.#writer ??= new ApartWriter(this.#file.fd, this.#size, `Cannot write "${this.#options.ref}"`);
      return this.#put(data, this.#size, true);
    }));
  }

  async place(position: number, data: Uint8Array): Promise<void> {
    this.#check();
    await (this.#last = this.#last.then(() => this.#put(data, position)));
  }

  async restart(): Promise<void> {
    this.#check();
    await this.#last.catch(() => {});
    this.#last = Promise.resolve();
    await this.#writer?.abort();
    this.#writer = undefined;
    // Readers stop before the bytes go away under them.
    this.#size = 0;
    for (const watcher of [...this.watchers]) watcher.restarted();
    this.#hash = new Bun.CryptoHasher("sha256");
    this.#apart = [];
    await this.#file.truncate(0);
    this.#note(true);
  }

  async commit(expected: { digest: Digest; size?: number; mediaType: string }, lease: Lease): Promise<Blob> {
    this.#check();
    const wrong = this.#mismatch(expected, await this.digest());
    if (wrong !== undefined) {
      await this.abort();
      throw wrong;
    }
    const blob: Blob = { digest: expected.digest, size: this.#size, mediaType: expected.mediaType };
    try {
      // Before the file has its name: a collect in between must not take it.
      lease.addBlob(blob.digest);
      await this.#writer?.end();
      await this.#file.sync();
      await this.#file.close();
      await rename(this.path, blobFile(this.#options.places, expected.digest));
      await syncDirectory(this.#options.places.blobs);
    } catch (error) {
      await this.#file.close().catch(() => {});
      throw spaced(error, `Cannot store ${expected.digest}`);
    } finally {
      this.#close();
    }
    this.#options.state.write(
      (tx) => {
        insertBlob(tx, blob);
        insertLeaseItem(tx, lease.id, "blob", blob.digest);
        deleteIngest(tx, this.#options.ref);
      },
      { durable: false },
    );
    return blob;
  }

  async suspend(): Promise<void> {
    if (!this.#open) return;
    await this.#last.catch(() => {});
    await this.#writer?.end().catch(() => {});
    try {
      this.#note(true);
    } finally {
      // On a full disk, too: who goes on with it once there is room must find it free.
      await this.#file.close();
      this.#close();
    }
    this.#options.state.write((tx) => touchIngest(tx, this.#options.ref), { durable: false });
  }

  async abort(): Promise<void> {
    if (!this.#open) return;
    await this.#last.catch(() => {});
    await this.#writer?.abort();
    await this.#file.close();
    await rm(this.path, { force: true });
    this.#close();
    this.#options.state.write((tx) => deleteIngest(tx, this.#options.ref), { durable: false });
  }

  /** With `given` the bytes may be sent away. */
  async #put(data: Uint8Array, position: number, given = false): Promise<void> {
    const { length } = data;
    const before = this.#size;
    if (position < before) throw new LighterError("internal", `Cannot write "${this.#options.ref}": byte ${position} is there already`);
    if (position > before && !this.#scattered) this.#scatter();
    if (position > before) {
      await this.#store(data, position);
      this.#apart = addExtent(this.#apart, { start: position, end: position + length });
    } else {
      await this.#append(data, given);
      this.#size += length;
      await this.#join();
    }
    this.#note(false);
    if (this.#size > before && this.watchers.size > 0) await this.#tell();
  }

  async #append(data: Uint8Array, given: boolean): Promise<void> {
    if (this.#writer !== undefined) return await this.#writer.write(given ? wholeBuffer(data) : new Uint8Array(data));
    await this.#store(data, this.#size);
    this.#hash.update(data);
  }

  /** Tells those who follow, once the bytes are in the file. */
  async #tell(): Promise<void> {
    await this.#writer?.digest();
    for (const watcher of this.watchers) watcher.grown(this.#size);
  }

  async #store(data: Uint8Array, position: number): Promise<void> {
    let done = 0;
    try {
      while (done < data.length) {
        const { bytesWritten } = await this.#file.write(data, done, data.length - done, position + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw spaced(error, `Cannot write "${this.#options.ref}"`);
    }
  }

  /** Takes in what lies apart and is reached now. */
  async #join(): Promise<void> {
    for (let next = this.#apart[0]; next !== undefined && next.start <= this.#size; next = this.#apart[0]) {
      if (this.#writer === undefined) await this.#rehash(next.end);
      else await this.#writer.take((this.#size = next.end));
      this.#apart = this.#apart.slice(1);
    }
  }

  /** From here on the row says what is there; before any byte is put behind a gap. */
  #scatter(): void {
    this.#scattered = true;
    this.#save(formatExtents([{ start: 0, end: this.#size }]));
  }

  #note(now: boolean): void {
    if (!this.#scattered) return;
    this.#scattered = this.#apart.length > 0;
    if (this.#scattered && !now && performance.now() - this.#noted < NOTE) return;
    this.#save(this.#scattered ? formatExtents([{ start: 0, end: this.#size }, ...this.#apart]) : null);
  }

  #save(extents: string | null): void {
    this.#noted = performance.now();
    this.#options.state.write((tx) => saveExtents(tx, this.#options.ref, extents), { durable: false });
  }

  /** Finds what a run before left: by the row, else all that the file has. */
  async #recall(): Promise<void> {
    const { size } = await this.#file.stat();
    const text = findExtents(this.#options.state, this.#options.ref);
    if (text === undefined) return await this.#rehash(size);
    this.#scattered = true;
    const [first, ...apart] = parseExtents(text) ?? [];
    if (first === undefined || (apart.at(-1) ?? first).end > size) return await this.restart();
    await this.#rehash(first.end);
    this.#apart = apart;
  }

  /** Hashes what stands in the file up to `end`. */
  async #rehash(end: number): Promise<void> {
    const buffer = Buffer.allocUnsafe(CHUNK);
    while (this.#size < end) {
      const { bytesRead } = await this.#file.read(buffer, 0, Math.min(CHUNK, end - this.#size), this.#size);
      if (bytesRead === 0) return;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#size += bytesRead;
    }
  }

  #mismatch(expected: { digest: Digest; size?: number }, digest: Digest): LighterError | undefined {
    if (expected.size !== undefined && expected.size !== this.#size)
      return new LighterError("invalid", `Cannot store ${expected.digest}: it has ${this.#size} bytes instead of ${expected.size}`);
    if (digest === expected.digest) return undefined;
    return new LighterError("invalid", `Cannot store ${expected.digest}: the content has the digest ${digest}`);
  }

  #check(): void {
    if (!this.#open) throw new LighterError("internal", `Cannot write "${this.#options.ref}": it is closed`);
  }

  #close(): void {
    this.#open = false;
    this.#options.closed();
  }
}

/** The bytes in a buffer of their own: the same where they fill theirs. */
function wholeBuffer(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = data;
  return buffer instanceof ArrayBuffer && buffer.byteLength === data.length ? new Uint8Array(buffer) : new Uint8Array(data);
}

const directories = new Map<string, SharedRun>();

/** Makes renames in a directory last: all that were made before this call, so that those who wait at once share the wait. */
async function syncDirectory(path: string): Promise<void> {
  const shared = directories.get(path) ?? new SharedRun(() => syncNow(path));
  directories.set(path, shared);
  await shared.run();
}

async function syncNow(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

/** Stores bytes that are in memory: the same steps at once. */
export async function storeBlob(data: Uint8Array, path: string): Promise<void> {
  const fresh = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  try {
    const file = await open(fresh, "wx", 0o600);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(fresh, { force: true });
    throw spaced(error, "Cannot store a blob");
  }
}
