import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { newId } from "../base/ids.ts";
import { digestOf } from "../oci/digest.ts";
import { type Digest, MEDIA } from "../oci/image.ts";
import type { Blob, Content, Layer } from "./content.ts";
import { UNREPEATED } from "./ingest.ts";
import { packTree } from "./trees.ts";

const gzipAsync = promisify(gzip);

/** Pieces compressed at a time: each is a gzip member of its own, on a thread of its own. */
const AHEAD = 4;

/** The options of `Content.packDirectory`. */
export type PackOptions = Parameters<Content["packDirectory"]>[0];

/**
 * Packs a directory as a layer: a deterministic tar (sorted names, whole seconds, whiteouts for overlayfs' marks), gzip level 1,
 * one member a MiB, so that several cores share the work and the same tree always gives the same bytes.
 */
export async function packLayer(content: Content, options: PackOptions): Promise<{ blob: Blob; diffId: Digest; layer?: Layer }> {
  const packed = await packBlob(content, options);
  if (options.onto === undefined) return packed;
  const parent = options.onto ?? undefined;
  const layer = await content.unpack({
    chainId: parent === undefined ? packed.diffId : digestOf(`${parent} ${packed.diffId}`),
    parent,
    diffId: packed.diffId,
    source: { blob: packed.blob.digest },
    mediaType: packed.blob.mediaType,
    lease: options.lease,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  return { ...packed, layer };
}

async function packBlob(content: Content, options: PackOptions): Promise<{ blob: Blob; diffId: Digest }> {
  const plain = new Bun.CryptoHasher("sha256");
  const packed = new Bun.CryptoHasher("sha256");
  const ingest = await content.ingest(`${UNREPEATED}layer-${newId()}`);
  // Compressed pieces in their order, several under way.
  const members: Promise<Uint8Array>[] = [];
  const writeFirst = async (): Promise<void> => {
    const member = await members.shift();
    if (member === undefined) return;
    packed.update(member);
    await ingest.write(member);
  };
  try {
    const { directory: root, except = [], whole } = options;
    const args = { root, path: "/", name: "", layer: true, wholeSeconds: true, except, ...(whole === undefined ? {} : { whole }) };
    const pieces = packTree(args, signalOf(options));
    for await (const piece of pieces) {
      plain.update(piece);
      const member = gzipAsync(piece, { level: 1 });
      member.catch(() => {});
      members.push(member);
      if (members.length >= AHEAD) await writeFirst();
    }
    while (members.length > 0) await writeFirst();
    const digest: Digest = `sha256:${packed.digest("hex")}`;
    const blob = await ingest.commit({ digest, mediaType: MEDIA.ociLayerGzip }, options.lease);
    return { blob, diffId: `sha256:${plain.digest("hex")}` };
  } finally {
    await ingest.abort();
  }
}

function signalOf({ signal }: PackOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
