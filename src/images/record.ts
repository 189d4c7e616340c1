import { formatPlatform } from "../oci/platform.ts";
import type { Content } from "../content/content.ts";
import { chainIds } from "../oci/digest.ts";
import type { Descriptor, Digest, ImageConfig, Index, Manifest } from "../oci/image.ts";
import type { Tx } from "../state/state.ts";
import { putImage, putManifest, putMediaType, reachableBytes } from "./rows.ts";

/** A runnable platform whose content is here. */
export interface PresentManifest {
  descriptor: Descriptor;
  manifest: Manifest;
  config: ImageConfig;
}

/** An image whose content is here, at least for one platform. */
export interface PresentImage {
  /** The manifest or index that gives the image its id. */
  target: Descriptor;
  /** The index, and those nested in it, each with its digest; empty for a single manifest. */
  indexes: { digest: Digest; index: Index }[];
  /** The platforms that are here. */
  manifests: PresentManifest[];
  /** Manifests that say something about the image (attestations) and are here. */
  attestations: { digest: Digest; manifest: Manifest }[];
}

/** Stores an image's rows and what its documents refer to, in the caller's transaction. A name is given to it apart. */
export function recordImage(tx: Tx, content: Content, image: PresentImage): void {
  for (const { digest, index } of image.indexes) content.setEdges(tx, digest, unique(index.manifests.map((each) => each.digest)));
  const documents = [
    ...image.manifests.map(({ descriptor, manifest }) => ({ digest: descriptor.digest, manifest })),
    ...image.attestations,
  ];
  for (const { digest, manifest } of documents) {
    content.setEdges(tx, digest, unique([manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)]));
  }
  const parts = documents.flatMap(({ manifest }) => [manifest.config, ...manifest.layers]);
  const known = [image.target, ...image.indexes.flatMap(({ index }) => index.manifests), ...parts];
  for (const { digest, mediaType } of known) putMediaType(tx, digest, mediaType);
  putImage(tx, { id: image.target.digest, mediaType: image.target.mediaType, size: reachableBytes(tx, image.target.digest) });
  const order = image.indexes.flatMap(({ index }) => index.manifests.map((each) => each.digest));
  for (const { descriptor, manifest, config } of image.manifests) {
    putManifest(tx, {
      image: image.target.digest,
      manifest: descriptor.digest,
      config: manifest.config.digest,
      platform: formatPlatform(platformOf(config)),
      chain_id: chainIds(config.rootfs.diff_ids).at(-1) ?? "",
      position: Math.max(0, order.indexOf(descriptor.digest)),
    });
  }
}

/** The platform that a configuration names. */
export function platformOf(config: ImageConfig): { os: string; architecture: string; variant?: string } {
  return { os: config.os, architecture: config.architecture, ...(config.variant ? { variant: config.variant } : {}) };
}

function unique(digests: Digest[]): Digest[] {
  return [...new Set(digests)];
}
