import { digestOf } from "../src/oci/digest.ts";
import { MEDIA, type Descriptor, type Digest, type ImageConfig, type Index, type Manifest, type Platform } from "../src/oci/image.ts";
import { gzipStored } from "./gzip-stored.ts";

/** A blob of an image with its media type. */
export interface Blob {
  digest: Digest;
  mediaType: string;
  bytes: Uint8Array;
}

/** What one platform's image is made of: its one layer (a tar archive), and its configuration without the root file system. */
export interface Part {
  platform: Platform;
  tar: Uint8Array;
  config: Pick<ImageConfig, "config" | "created" | "history" | "author">;
}

/** An image as blobs: the index last, everything it refers to before it. Equal input gives equal digests. */
export function imageOf(parts: readonly Part[]): { index: Digest; blobs: Blob[] } {
  const blobs: Blob[] = [];
  const add = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = digestOf(bytes);
    blobs.push({ digest, mediaType, bytes });
    return { mediaType, digest, size: bytes.length };
  };
  const addJson = (mediaType: string, value: object): Descriptor => add(mediaType, new TextEncoder().encode(JSON.stringify(value)));
  const manifests = parts.map(({ platform, tar, config }) => {
    const layer = add(MEDIA.ociLayerGzip, gzipStored(tar));
    const full: ImageConfig = { ...platform, ...config, rootfs: { type: "layers", diff_ids: [digestOf(tar)] } };
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: MEDIA.ociManifest,
      config: addJson(MEDIA.ociConfig, full),
      layers: [layer],
    };
    return { ...addJson(MEDIA.ociManifest, manifest), platform };
  });
  const index: Index = { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests };
  return { index: addJson(MEDIA.ociIndex, index).digest, blobs };
}
