import { createGzip } from "node:zlib";
import { now, toRfc3339Nano } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { familiarReference } from "../base/reference.ts";
import type { Blob as StoredBlob, Content, Lease } from "../content/content.ts";
import { UNREPEATED } from "../content/ingest.ts";
import { MEDIA, type Digest, type ImageConfig, type Manifest } from "../oci/image.ts";
import { hostPlatform, parsePlatform } from "../oci/platform.ts";
import type { State } from "../state/state.ts";
import type { ProgressSink } from "../wire/progress.ts";
import { applyChanges } from "./changes.ts";
import { imageEvent } from "./image-events.ts";
import { recordImage } from "./record.ts";
import { putName } from "./rows.ts";
import { targetReference } from "./tag.ts";
import { through, unwrap } from "./unwrap.ts";

/** As `Images.import` takes them. */
export interface ImportOptions {
  repository?: string;
  tag?: string;
  message?: string;
  changes: string[];
  platform?: string;
  progress: ProgressSink;
  signal?: AbortSignal;
}

/** Makes an image of one layer from a root file system in a tar archive. Throws `invalid` for what is not one. */
export async function importImage(
  { state, content, changed }: { state: State; content: Content; changed: () => void },
  archive: ReadableStream<Uint8Array>,
  options: ImportOptions,
): Promise<Digest> {
  const reference = options.repository
    ? targetReference({ repository: options.repository, ...(options.tag ? { tag: options.tag } : {}) })
    : undefined;
  const run = applyChanges({}, options.changes);
  const platform = options.platform ? parsePlatform(options.platform) : hostPlatform();
  using lease = content.lease("import");
  const { blob, diffId } = await storeLayer(content, lease, archive, options.signal);
  await content.unpack({
    chainId: diffId,
    parent: undefined,
    diffId,
    source: { blob: blob.digest },
    mediaType: blob.mediaType,
    lease,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const created = toRfc3339Nano(now());
  const config: ImageConfig = {
    ...platform,
    created,
    config: run,
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created, comment: options.message || "Imported from -" }],
  };
  const target = await storeDocuments(content, lease, config, blob);
  const id = target.descriptor.digest;
  state.write(
    (tx) => {
      recordImage(tx, content, { target: target.descriptor, indexes: [], manifests: [{ ...target, config }], attestations: [] });
      if (reference !== undefined) putName(tx, reference, id);
      if (reference !== undefined) imageEvent(tx, "tag", id, familiarReference(reference), config);
      imageEvent(tx, "import", id, id, config);
      tx.afterCommit(changed);
    },
    { durable: true },
  );
  options.progress({ status: id });
  return id;
}

/** Stores configuration and manifest of an image of our own making; a configuration given in bytes is stored as it is. */
export async function storeDocuments(
  content: Content,
  lease: Lease,
  config: ImageConfig | Uint8Array,
  ...layers: StoredBlob[]
): Promise<{ descriptor: { mediaType: string; digest: Digest; size: number }; manifest: Manifest }> {
  const stored = await content.writeBlob(config instanceof Uint8Array ? config : encode(config), MEDIA.ociConfig, lease);
  const configuration = { ...descriptorOf(stored), mediaType: MEDIA.ociConfig };
  const manifest: Manifest = { schemaVersion: 2, mediaType: MEDIA.ociManifest, config: configuration, layers: layers.map(descriptorOf) };
  const written = await content.writeBlob(encode(manifest), MEDIA.ociManifest, lease);
  const descriptor = { ...descriptorOf(written), mediaType: MEDIA.ociManifest };
  return { descriptor, manifest };
}

/** Packs the archive as a layer, hashing it before and after. */
async function storeLayer(
  content: Content,
  lease: Lease,
  archive: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<{ blob: StoredBlob; diffId: Digest }> {
  const plain = new Bun.CryptoHasher("sha256");
  const packed = new Bun.CryptoHasher("sha256");
  let size = 0;
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const piece of unwrap(archive)) {
      if (signal?.aborted === true) throw new LighterError("cancelled", "context canceled");
      plain.update(piece);
      size += piece.length;
      yield piece;
    }
  }
  const ingest = await content.ingest(`${UNREPEATED}import-${crypto.randomUUID()}`);
  try {
    for await (const piece of through(hashed(), createGzip({ level: 1, chunkSize: 1 << 20 }))) {
      packed.update(piece);
      await ingest.write(piece);
    }
    if (size === 0) throw new LighterError("invalid", "Cannot import the archive: it is empty");
  } catch (error) {
    await ingest.abort();
    throw signal?.aborted === true ? new LighterError("cancelled", "context canceled", { cause: error }) : error;
  }
  const digest: Digest = `sha256:${packed.digest("hex")}`;
  lease.addBlob(digest);
  const blob = await ingest.commit({ digest, mediaType: MEDIA.ociLayerGzip }, lease);
  return { blob, diffId: `sha256:${plain.digest("hex")}` };
}

function descriptorOf({ mediaType, digest, size }: StoredBlob): StoredBlob {
  return { mediaType, digest, size };
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
