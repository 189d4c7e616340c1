import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { digestOf, hexOf } from "../src/oci/digest.ts";
import { MEDIA, type Descriptor, type ImageConfig, type Index, type Manifest, type RunConfig } from "../src/oci/image.ts";

export interface LayoutOptions {
  /** Archives of the layers, bottom first. */
  layers: readonly Uint8Array<ArrayBuffer>[];
  config: RunConfig;
  /** The tag that the layout names. */
  tag: string;
}

const CREATED = "2026-01-01T00:00:00Z";

/** Writes an image of this machine's platform as an OCI layout into `folder`, which appears complete or not at all. */
export async function writeLayout(folder: string, { layers, config, tag }: LayoutOptions): Promise<void> {
  const work = `${folder}.${process.pid}`;
  await mkdir(join(work, "blobs/sha256"), { recursive: true });
  const put = async (mediaType: string, bytes: Uint8Array | string): Promise<Descriptor> => {
    const digest = digestOf(bytes);
    await Bun.write(join(work, "blobs/sha256", hexOf(digest)), bytes);
    return { mediaType, digest, size: Buffer.byteLength(bytes) };
  };
  const full: ImageConfig = {
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    created: CREATED,
    config,
    rootfs: { type: "layers", diff_ids: layers.map((layer) => digestOf(layer)) },
    history: layers.map((_, index) => ({ created: CREATED, created_by: `tools/test-images.ts, layer ${index + 1}` })),
  };
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    config: await put(MEDIA.ociConfig, JSON.stringify(full)),
    layers: await Promise.all(layers.map((layer) => put(MEDIA.ociLayerGzip, gzipSync(layer, { level: 1 })))),
  };
  const entry = await put(MEDIA.ociManifest, JSON.stringify(manifest));
  const index: Index = { schemaVersion: 2, manifests: [{ ...entry, annotations: { "org.opencontainers.image.ref.name": tag } }] };
  await Bun.write(join(work, "index.json"), JSON.stringify(index));
  await Bun.write(join(work, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  await rm(folder, { recursive: true, force: true });
  await rename(work, folder);
}
