import type { Digest } from "../oci/image.ts";

/** An image that the executable carries: what the built-in registry is seeded with. */
export interface ShippedImage {
  /** Docker Hub's name for it, as `library/hello-world`. */
  repository: string;
  tags: readonly string[];
  /** Everything the index refers to, then the index. */
  blobs: readonly ShippedBlob[];
  /** The digest of the index, which every tag points to. */
  index: Digest;
}

export interface ShippedBlob {
  digest: Digest;
  mediaType: string;
  bytes: Uint8Array;
}

/** The images made from `shipped/`, decoded anew at each call. */
export async function shippedImages(): Promise<ShippedImage[]> {
  const { SHIPPED_DATA } = await import("./shipped-data.ts");
  return SHIPPED_DATA.map(({ blobs, ...image }) => ({
    ...image,
    blobs: blobs.map(({ digest, mediaType, base64 }) => ({ digest, mediaType, bytes: Uint8Array.fromBase64(base64) })),
  }));
}
