import type { Digest } from "../oci/image.ts";
import type { Reader, Tx } from "../state/state.ts";
import type { Freed } from "./freed.ts";

/** A blob that is here, whole and checked. */
export interface Blob {
  digest: Digest;
  /** Bytes. */
  size: number;
  mediaType: string;
}

/** An unpacked layer: one directory that holds the difference to the layer below, as overlayfs wants it. */
export interface Layer {
  chainId: Digest;
  parent: Digest | undefined;
  diffId: Digest;
  /** Bytes of the files in it. */
  size: number;
  /** Absolute path. */
  directory: string;
}

/**
 * Keeps content from being collected while something long runs (pull, load, build, push). Everything that is written under a lease belongs to it
 * from its first byte on. `release` after the rows that keep the content for good are committed. A lease dies with its daemon.
 */
export interface Lease {
  readonly id: string;
  addBlob(digest: Digest): void;
  addLayer(chainId: Digest): void;
  release(): void;
  [Symbol.dispose](): void;
}

/** A blob being written. What was written stays on disk across a crash and is found again under the same `ref`. */
export interface Ingest {
  /** Bytes that are here already: go on from this offset (`Range`). */
  readonly offset: number;
  /** The digest of what is here so far, once all of it is in the file. Throws what went wrong on the way there. */
  digest(): Promise<Digest>;
  /** The file that grows: who opened it may read to its end, also after `commit` gave it another name. */
  readonly path: string;
  /** Bytes that are here in all, those included that were placed further on. */
  readonly received: number;
  /** Appends; hashed on the way. Throws `no-space`. */
  write(data: Uint8Array): Promise<void>;
  /**
   * Appends bytes that the caller has no more use for (their buffer may be gone afterwards): those of a large blob are hashed and written by another thread.
   * Resolves as soon as the next ones are welcome; `digest` waits for all. Who follows the file hears of them once they are in it.
   */
  give(data: Uint8Array): Promise<void>;
  /**
   * Puts bytes at a position at or after `offset` where none are yet: a source may be read at several places at once. What was placed survives a crash, but
   * for the last moments.
   */
  place(position: number, data: Uint8Array): Promise<void>;
  /** What is missing of a blob of `size` bytes, in order. */
  holes(size: number): { start: number; end: number }[];
  /** Drops what is here and begins anew (the source does not do ranges, or the digest was wrong). */
  restart(): Promise<void>;
  /**
   * Checks digest and size, syncs, renames, stores the row under the lease.
   * A wrong digest or size throws `invalid` and removes the partial file.
   */
  commit(expected: { digest: Digest; size?: number; mediaType: string }, lease: Lease): Promise<Blob>;
  /** Closes and keeps what is here, to be resumed. */
  suspend(): Promise<void>;
  /** Closes and removes what is here. */
  abort(): Promise<void>;
}

/** How unpacking goes on, in bytes of the packed layer. */
export type Progress = (done: number, total: number) => void;

/**
 * Blobs by digest and unpacked layers by chain id, each once on disk, shared by engine, builder and registry.
 * Reference counting is by reachability: roots are rows of `images`, `containers` (chain_id), registry rows and leases; edges are `blob_edges` and `layers.parent`.
 */
export interface Content {
  /** The blob if it is here. */
  blob(digest: Digest): Blob | undefined;
  /** The file of a blob: readable as long as a lease or a row keeps it. */
  blobPath(digest: Digest): string;
  /** Whole blob in memory; meant for manifests and configs. Throws `not-found`, and `invalid` past `limit` bytes (default 8 MiB). */
  readBlob(digest: Digest, limit?: number): Promise<Uint8Array>;
  /** Stores small content (manifests, configs) under a lease. */
  writeBlob(data: Uint8Array, mediaType: string, lease: Lease): Promise<Blob>;
  /** Declares what a stored manifest or index refers to. */
  setEdges(tx: Tx, parent: Digest, children: readonly Digest[]): void;
  lease(purpose: string): Lease;
  /** Begins or goes on with the blob named `ref` (usually its digest). A second caller for the same `ref` throws `conflict`: share the download above. */
  ingest(ref: string): Promise<Ingest>;

  /** The unpacked layer if it is here and complete. */
  layer(chainId: Digest): Layer | undefined;
  /** The stack of unpacked layers of a chain id, topmost first: overlayfs' order. Throws `not-found` when one is missing. */
  layerStack(chainId: Digest): Layer[];
  /** Notes that a stack is used now: those of its layers that are here. */
  touch(tx: Tx, chainId: Digest): void;
  /**
   * Unpacks a layer in a Worker, checking its diff id. `source` is a blob that is here, or an ingest under way whose bytes are followed as they arrive;
   * `finished` settles once it is committed or given up.
   * `below` is the stack that it stands on, topmost first (implied parents take their metadata from there), possibly still being unpacked: it is awaited where needed.
   * The row is written last, after syncfs; a crash leaves nothing that counts. Concurrent calls for one chain id share the work.
   */
  unpack(options: {
    chainId: Digest;
    parent: Digest | undefined;
    diffId: Digest;
    source: { blob: Digest } | { ingest: string; finished: Promise<unknown> };
    mediaType: string;
    lease: Lease;
    progress?: Progress;
    signal?: AbortSignal;
  }): Promise<Layer>;
  /**
   * Makes a layer blob (deterministic tar, gzip) from an overlay upper directory or a plain directory: commit, import, build.
   * With `onto` (the chain id below, or null for a base layer) its unpacked twin is made, too, and comes back as `layer`.
   */
  packDirectory(options: {
    directory: string;
    lease: Lease;
    onto?: Digest | null;
    /** Absolute paths inside of the directory that are left out with all below. */
    except?: readonly string[];
    /** The directory is a whole root: packed is what it changes in these layers (topmost first), but for paths that were made for mounts. */
    whole?: { lower: readonly string[]; mountPoints: readonly string[] };
    signal?: AbortSignal;
  }): Promise<{ blob: Blob; diffId: Digest; layer?: Layer }>;

  /** Removes content that nothing reaches. Returns bytes freed and what went. Runs in a Worker; safe beside pulls. */
  collect(options?: { dryRun?: boolean }): Promise<{ bytes: number; blobs: Digest[]; layers: Digest[] }>;
  /** Bytes on disk: of blobs, of unpacked layers, of partial downloads. Adds up to what `du` says. */
  usage(): { blobs: number; layers: number; partial: number };
  /** Bytes on disk that would go with each of some images, if they went in this order; what nothing reaches already stands apart. */
  freed(images: readonly Digest[]): Promise<Freed>;
  /** Bytes that a prune of images without containers would free. */
  reclaimable(): Promise<number>;
  /** Removes partial downloads that were not touched for `age` milliseconds; with `prefixes` those alone whose `ref` begins with one of them. */
  sweepPartials(age: number, prefixes?: readonly string[]): Promise<void>;
  /** Removes a directory tree: renames it away at once (the path is free when this returns its promise), deletes later on another thread. */
  discard(directory: string): Promise<void>;
  /** Resolves once everything that was discarded or collected so far is deleted. */
  settled(): Promise<void>;
}

/** Further roots of the content graph, contributed by parts that keep rows of their own: an SQL that selects digests. */
export interface RootsSql {
  blobs?: string;
  /** The same as `blobs`, as a condition on `blobs.digest` that indexes answer; left out, the list is gone through for each slice of a collection. */
  holds?: string;
  layers?: string;
}

/** Where the content store lives and what keeps content alive. */
export interface ContentOptions {
  /** `<data-root>/content` and `<data-root>/layers` hang on this. */
  dataRoot: string;
  /** `path` is that of its file: long looks at it are another thread's. */
  state: Reader & { readonly path: string; write<T>(change: (tx: Tx) => T, options: { durable: boolean }): T };
  roots?: RootsSql[];
  /** Bytes that one layer may unpack to; left out, what is out of proportion to its packed size is refused. */
  maxLayerSize?: number | undefined;
}
