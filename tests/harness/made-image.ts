import { gzipSync } from "node:zlib";
import { digestOf } from "../../src/oci/digest.ts";
import { MEDIA, type Descriptor, type Digest, type Manifest } from "../../src/oci/image.ts";
import { TAR_END, tarHeader, tarPadding } from "../../src/oci/tar-write.ts";
import type { TestRegistry } from "./registry.ts";

/** A layer that a test makes: its bytes as they travel. */
export interface MadeLayer {
  packed: Uint8Array<ArrayBuffer>;
  diffId: Digest;
  mediaType: string;
}

/** A layer of one file of random bytes: as large packed as unpacked. */
export function noiseLayer(name: string, size: number): MadeLayer {
  const data = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(data.subarray(at, Math.min(size, at + 65536)));
  return layerOf({ [name]: data });
}

/** A layer of files, gzip'ed. */
export function layerOf(files: Readonly<Record<string, Uint8Array | string>>): MadeLayer {
  const common = { type: "file", link: "", mode: 0o644, uid: 0, gid: 0, user: "", group: "", mtime: 0n, major: 0, minor: 0 } as const;
  const parts = Object.entries(files).flatMap(([path, value]) => {
    const data = typeof value === "string" ? new TextEncoder().encode(value) : value;
    return [tarHeader({ ...common, path, size: data.length }), data, tarPadding(data.length)];
  });
  const tar = Buffer.concat([...parts, TAR_END]);
  return { packed: new Uint8Array(gzipSync(tar, { level: 1 })), diffId: digestOf(tar), mediaType: MEDIA.ociLayerGzip };
}

/** Pushes an image of these layers; `bytes` are those of its layers. */
export async function pushMade(
  registry: TestRegistry,
  repository: string,
  layers: readonly MadeLayer[],
): Promise<{ digest: Digest; bytes: number; blobs: Descriptor[] }> {
  const config = new TextEncoder().encode(
    JSON.stringify({
      os: "linux",
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      config: { Cmd: ["/none"] },
      rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    }),
  );
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    config: await registry.pushBytes(repository, config, MEDIA.ociConfig),
    layers: [],
  };
  for (const { packed, mediaType } of layers) manifest.layers.push(await registry.pushBytes(repository, packed, mediaType));
  const digest = await registry.pushDocument(repository, manifest, "latest");
  return { digest, bytes: manifest.layers.reduce((sum, { size }) => sum + size, 0), blobs: manifest.layers };
}
