import type { Blob, Ingest, Lease } from "../content/content.ts";
import type { Digest } from "../oci/image.ts";
import type { Tx } from "../state/state.ts";

/** A part of a blob: the first and the last byte, both included. */
export interface ByteRange {
  start: number;
  end: number;
}

/** What a GET of a blob is answered with: its bytes, or the address where the client fetches them itself. */
export type BlobBody = { body: Bun.BunFile | globalThis.Blob | ReadableStream<Uint8Array> } | { redirect: string };

/**
 * Where the registry keeps bytes: the content store on the local disk, or a bucket. Which repository shows what, and what keeps what alive, are rows of
 * `state.db` in either case, so that every look-up is synchronous. The words are those of `Content`.
 */
export interface Storage {
  /** The blob if it is here. */
  blob(digest: Digest): Blob | undefined;
  /** What to answer with. The blob must be here; it stays readable as long as a lease or a row keeps it. */
  body(digest: Digest, range?: ByteRange): Promise<BlobBody>;
  /** Whole blob in memory. Throws `not-found`, and `invalid` past `limit` bytes (default 8 MiB). */
  readBlob(digest: Digest, limit?: number): Promise<Uint8Array>;
  /** Stores small content under a lease. */
  writeBlob(data: Uint8Array, mediaType: string, lease: Lease): Promise<Blob>;
  /** Declares what a stored manifest or index refers to. */
  setEdges(tx: Tx, parent: Digest, children: readonly Digest[]): void;
  lease(purpose: string): Lease;
  /** Begins or goes on with an upload. Throws `conflict` while another one writes to it. */
  ingest(ref: string): Promise<Ingest>;
  /** Whether there is an upload of this name. */
  isIngesting(ref: string): boolean;
  /** Removes what nothing reaches any more; safe beside pushes and pulls. Bytes freed, and what went. */
  collect(): Promise<{ bytes: number; blobs: Digest[] }>;
  /** Gives up uploads that nobody went on with for `age` milliseconds. */
  sweepUploads(age: number): Promise<void>;
  /** Bytes of whole blobs and of uploads under way. */
  usage(): { blobs: number; partial: number };
  /** Ends what goes on by itself. */
  close(): Promise<void>;
}
