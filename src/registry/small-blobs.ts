import type { Digest } from "../oci/image.ts";

/** Bytes that are kept in memory in all, and of one blob at most. */
const TOTAL = 32 << 20;
const EACH = 1 << 20;

/** The manifests that were read last, so that a store far away is not asked for each pull. */
export class SmallBlobs {
  readonly #blobs = new Map<Digest, Uint8Array>();
  #bytes = 0;

  get(digest: Digest): Uint8Array | undefined {
    const bytes = this.#blobs.get(digest);
    if (bytes === undefined) return undefined;
    // The last one in order is the last one used.
    this.#blobs.delete(digest);
    this.#blobs.set(digest, bytes);
    return bytes;
  }

  put(digest: Digest, bytes: Uint8Array): void {
    if (bytes.length > EACH || this.#blobs.has(digest)) return;
    this.#blobs.set(digest, bytes);
    this.#bytes += bytes.length;
    for (const oldest of this.#blobs.keys()) {
      if (this.#bytes <= TOTAL) return;
      this.drop(oldest);
    }
  }

  drop(digest: Digest): void {
    this.#bytes -= this.#blobs.get(digest)?.length ?? 0;
    this.#blobs.delete(digest);
  }
}
