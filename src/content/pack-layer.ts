import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { newId } from "../base/ids.ts";
import { type Digest, MEDIA } from "../oci/image.ts";
import type { Blob, Content, Lease } from "./content.ts";
import { packTree } from "./trees.ts";

const gzipAsync = promisify(gzip);

/** Pieces compressed at a time: each is a gzip member of its own, on a thread of its own. */
const AHEAD = 4;

/**
 * Packs a directory as a layer: a deterministic tar (sorted names, whole seconds, whiteouts for overlayfs' marks), gzip level 1,
 * one member a MiB, so that several cores share the work and the same tree always gives the same bytes.
 */
export async function packLayer(
  content: Content,
  options: { directory: string; lease: Lease; signal?: AbortSignal },
): Promise<{ blob: Blob; diffId: Digest }> {
  const plain = new Bun.CryptoHasher("sha256");
  const packed = new Bun.CryptoHasher("sha256");
  const ingest = await content.ingest(`layer-${newId()}`);
  try {
    const waiting: Promise<Uint8Array>[] = [];
    const writeFirst = async (): Promise<void> => {
      const member = await waiting.shift();
      if (member === undefined) return;
      packed.update(member);
      await ingest.write(member);
    };
    const pieces = packTree({ root: options.directory, path: "/", name: "", layer: true, wholeSeconds: true }, options);
    for await (const piece of pieces) {
      plain.update(piece);
      const member = gzipAsync(piece, { level: 1 });
      member.catch(() => {});
      waiting.push(member);
      if (waiting.length >= AHEAD) await writeFirst();
    }
    while (waiting.length > 0) await writeFirst();
    const digest: Digest = `sha256:${packed.digest("hex")}`;
    const blob = await ingest.commit({ digest, mediaType: MEDIA.ociLayerGzip }, options.lease);
    return { blob, diffId: `sha256:${plain.digest("hex")}` };
  } finally {
    await ingest.abort();
  }
}
