import { LighterError } from "../base/errors.ts";
import type { Content, Ingest, Lease } from "../content/content.ts";
import { UNREPEATED } from "../content/ingest.ts";
import type { Digest } from "../oci/image.ts";
import { textOf, type TarEntry } from "../oci/tar-entry.ts";
import { TarParser } from "../oci/tar-read.ts";
import { unwrap } from "./unwrap.ts";

/** What an image archive holds: small files as bytes, and which blob of the content store each larger one became. */
export interface ImageArchive {
  /** JSON files and what is small and at the top, by path. */
  documents: Map<string, Uint8Array>;
  /** Digest and size of every stored file, by path; links included. */
  blobs: Map<string, { digest: Digest; size: number }>;
}

/** Documents past this size are nobody's. */
const MOST_DOCUMENT = 8 << 20;
/** All documents of an archive together, which are held in memory. */
const MOST_DOCUMENTS = 64 << 20;
/** A thousand images of a hundred layers, and their links. */
const MOST_MEMBERS = 200_000;
/** What may be large: blobs of a layout, layers and configurations of the older forms, by the names that Docker, crane and others give them. */
const BLOB = /^(?:blobs\/sha256\/([0-9a-f]{64})|[^/]+\.(?:tar|tgz|tar\.[a-z0-9]+)|[^/]+\/layer\.tar(?:\.[a-z0-9]+)?|[0-9a-f]{64}\.json)$/;
/** Whatever stands at the top may be meant by `manifest.json`. */
const DOCUMENT = /\.json$|^[^/]+$/;
const LINKS = 16;
/** Bytes that are written at a time. */
const CHUNK = 1 << 20;
/** Blobs that may wait for the disk while the next ones are read. */
const MOST_BEHIND = 4;

/**
 * Reads an archive of `docker save` (any age) or an OCI layout, storing blobs while it streams by. A blob named by its digest is checked against it.
 * Throws `invalid` for what is not such an archive.
 */
export async function readArchive(
  content: Content,
  lease: Lease,
  archive: ReadableStream<Uint8Array>,
  options: { signal?: AbortSignal; stored?: (path: string, size: number) => void },
): Promise<ImageArchive> {
  const reader = new ArchiveReader(content, lease, options.stored);
  try {
    for await (const piece of unwrap(archive)) {
      if (options.signal?.aborted === true) throw new LighterError("cancelled", "context canceled");
      await reader.push(piece);
    }
    return await reader.finish();
  } catch (error) {
    await reader.abandon();
    throw error;
  }
}

type Step = { begin: TarEntry } | { data: Uint8Array } | { end: TarEntry };

class ArchiveReader {
  readonly #content: Content;
  readonly #lease: Lease;
  readonly #stored: ((path: string, size: number) => void) | undefined;
  readonly #archive: ImageArchive = { documents: new Map(), blobs: new Map() };
  readonly #links = new Map<string, string>();
  readonly #parser: TarParser;
  #steps: Step[] = [];
  #members = 0;
  #documentBytes = 0;
  #target: BlobTarget | Uint8Array[] | undefined;
  /** Blobs that are being synced and given their names. */
  readonly #behind = new Set<Promise<void>>();
  #failure: unknown;

  constructor(content: Content, lease: Lease, stored?: (path: string, size: number) => void) {
    this.#content = content;
    this.#lease = lease;
    this.#stored = stored;
    this.#parser = new TarParser({
      entry: (begin) => void this.#steps.push({ begin }),
      // A part of the piece, which stays as it is until all that was found in it is worked off.
      data: (data) => void this.#steps.push({ data }),
      end: (end) => void this.#steps.push({ end }),
    });
  }

  /** The parser calls back at once, storing takes time: what it found is worked off before the next piece. */
  async push(piece: Uint8Array): Promise<void> {
    this.#parser.push(piece);
    const steps = this.#steps;
    this.#steps = [];
    for (const step of steps) {
      if ("begin" in step) await this.#begin(step.begin);
      else if ("data" in step) await this.#write(step.data);
      else await this.#end(step.end);
    }
  }

  async finish(): Promise<ImageArchive> {
    this.#parser.finish();
    await Promise.all(this.#behind);
    if (this.#failure !== undefined) throw this.#failure;
    for (const path of this.#links.keys()) {
      const blob = this.#archive.blobs.get(this.#follow(path));
      if (blob !== undefined) this.#archive.blobs.set(path, blob);
    }
    return this.#archive;
  }

  async abandon(): Promise<void> {
    await Promise.all(this.#behind);
    if (this.#target !== undefined && !Array.isArray(this.#target)) await this.#target.ingest.abort();
    this.#target = undefined;
  }

  async #begin(entry: TarEntry): Promise<void> {
    if (++this.#members > MOST_MEMBERS) throw new LighterError("invalid", `invalid archive: it has more than ${MOST_MEMBERS} members`);
    const path = pathOf(entry);
    if (entry.type === "symlink" || entry.type === "link") {
      const target = textOf(entry.link);
      this.#links.set(path, entry.type === "link" ? memberPath(target) : memberPath(`${path}/../${target}`));
    }
    if (entry.type !== "file") return;
    const small = entry.size <= MOST_DOCUMENT;
    if (BLOB.test(path) || (!small && !path.includes("/"))) {
      const ingest = await this.#content.ingest(`${UNREPEATED}load-${crypto.randomUUID()}`);
      this.#target = { ingest, buffer: new Uint8Array(Math.min(CHUNK, entry.size)), used: 0 };
    } else if (small && DOCUMENT.test(path)) {
      this.#documentBytes += entry.size;
      if (this.#documentBytes > MOST_DOCUMENTS)
        throw new LighterError("invalid", `invalid archive: its documents have more than ${MOST_DOCUMENTS} bytes`);
      this.#target = [];
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const target = this.#target;
    if (target === undefined) return;
    if (Array.isArray(target)) return void target.push(bytes.slice());
    for (let at = 0; at < bytes.length;) {
      const taken = Math.min(bytes.length - at, target.buffer.length - target.used);
      target.buffer.set(bytes.subarray(at, at + taken), target.used);
      target.used += taken;
      at += taken;
      if (target.used === target.buffer.length) await flush(target);
    }
  }

  async #end(entry: TarEntry): Promise<void> {
    const target = this.#target;
    const path = pathOf(entry);
    if (target === undefined) return;
    // One that the disk does not take is still the target: it is given up with the rest.
    if (!Array.isArray(target)) await flush(target);
    this.#target = undefined;
    if (Array.isArray(target)) return void this.#archive.documents.set(path, Buffer.concat(target));
    const { ingest } = target;
    const digest = await ingest.digest();
    const named = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(path)?.[1];
    if (named !== undefined && digest !== `sha256:${named}`) {
      await ingest.abort();
      throw new LighterError("invalid", `Cannot load the archive: "${path}" has content with the digest ${digest}`);
    }
    // Before the file gets its name: a collection of the same blob under way must not take it.
    this.#lease.addBlob(digest);
    this.#archive.blobs.set(path, { digest, size: entry.size });
    await this.#commitBehind(ingest, { digest, size: entry.size }, path);
  }

  /** The disk takes its time for each blob: meanwhile the next ones are read. */
  async #commitBehind(ingest: Ingest, expected: { digest: Digest; size: number }, path: string): Promise<void> {
    if (this.#failure !== undefined) {
      await ingest.abort();
      throw this.#failure;
    }
    const commit: Promise<void> = ingest
      .commit({ ...expected, mediaType: "application/octet-stream" }, this.#lease)
      .then(() => this.#stored?.(path, expected.size))
      .catch((error: unknown) => void (this.#failure ??= error))
      .finally(() => this.#behind.delete(commit));
    this.#behind.add(commit);
    if (this.#behind.size >= MOST_BEHIND) await Promise.race(this.#behind);
  }

  #follow(path: string): string {
    let current = path;
    for (let hop = 0; hop < LINKS; hop++) {
      const next = this.#links.get(current);
      if (next === undefined) break;
      current = next;
    }
    return current;
  }
}

/** A blob that is being read. */
interface BlobTarget {
  ingest: Ingest;
  buffer: Uint8Array;
  used: number;
}

async function flush(target: BlobTarget): Promise<void> {
  const bytes = target.buffer.subarray(0, target.used);
  target.used = 0;
  if (bytes.length > 0) await target.ingest.write(bytes);
}

function pathOf(entry: TarEntry): string {
  return memberPath(textOf(entry.path));
}

/** A path without `.`, `..` and slashes at the ends; it names a member, never a file of this machine. */
export function memberPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}
