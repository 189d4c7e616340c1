import { LighterError } from "../base/errors.ts";
import { shortId } from "../base/ids.ts";
import type { Content, Lease } from "../content/content.ts";
import { LAYER_TOO_LARGE } from "../content/layer-size.ts";
import { chainIds } from "../oci/digest.ts";
import type { Descriptor, Digest } from "../oci/image.ts";
import type { ProgressSink } from "../wire/progress.ts";
import type { Downloads, Listener } from "./downloads.ts";
import { LayerProgress } from "../wire/layer-progress.ts";
import type { PresentManifest } from "./record.ts";
import type { Source } from "./sources.ts";

/** What fetching layers needs. */
export interface LayersContext {
  content: Content;
  downloads: Downloads;
  lease: Lease;
  source: Source;
  progress: ProgressSink;
  signal: AbortSignal;
  /** The image is here under this name already: nothing is said of layers that are here, too. */
  known: boolean;
}

interface Layer {
  blob: Descriptor;
  diffId: Digest;
  chainId: Digest;
  below: Layer | undefined;
  progress: LayerProgress;
  /** Resolves once unpacking has begun, so that the layer above can begin; or once there is nothing to wait for. */
  begun: PromiseWithResolvers<void>;
  /** Settles with the layer. */
  done: Promise<void>;
  /** The download and the unpacking that was begun beside it: a layer may be settled before both are. */
  underWay: Promise<unknown>[];
}

/**
 * Fetches all layers of a platform, several at once, and unpacks each while it arrives. The first failure stops the others; what they have stays for
 * resuming. Once this has settled, nothing of it is under way any more.
 */
export async function fetchLayers(context: LayersContext, { manifest, config }: PresentManifest): Promise<void> {
  const chain = chainIds(config.rootfs.diff_ids);
  const seen = new Set<Digest>();
  const layers: Layer[] = [];
  for (const [index, blob] of manifest.layers.entries()) {
    const progress = new LayerProgress(shortId(blob.digest), seen.has(blob.digest) ? () => undefined : context.progress);
    seen.add(blob.digest);
    // Both lists have the same length, which was checked when the documents came.
    const [diffId, chainId] = [config.rootfs.diff_ids[index] as Digest, chain[index] as Digest];
    layers.push({
      blob,
      progress,
      diffId,
      chainId,
      below: layers.at(-1),
      begun: Promise.withResolvers(),
      done: Promise.resolve(),
      underWay: [],
    });
  }
  const missing = layers.filter((layer) => !pinPresent(context, layer));
  if (missing.length === 0 && context.known) return;
  for (const layer of layers) layer.progress.state(missing.includes(layer) ? "Pulling fs layer" : "Already exists");
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  for (const layer of missing) layer.done = obtain({ ...context, signal }, layer).finally(layer.begun.resolve);
  const work = missing.map((layer) => layer.done);
  try {
    await Promise.all(work);
  } catch (error) {
    stop.abort();
    await Promise.allSettled(work);
    await Promise.allSettled(layers.flatMap(({ underWay }) => underWay));
    throw error;
  }
}

/** Whether a layer is here, packed and unpacked; the lease keeps what is. */
function pinPresent({ content, lease }: LayersContext, { blob, chainId, begun }: Layer): boolean {
  lease.addBlob(blob.digest);
  lease.addLayer(chainId);
  const present = content.blob(blob.digest) !== undefined && content.layer(chainId) !== undefined;
  if (present) begun.resolve();
  return present;
}

async function obtain(context: LayersContext, layer: Layer): Promise<void> {
  const { content, lease, signal } = context;
  const { blob, chainId, below, progress } = layer;
  let packed = 0;
  let downloaded = content.blob(blob.digest) !== undefined;
  const extracting = (done: number): void => {
    packed = done;
    if (downloaded) progress.bytes("Extracting", Math.min(done, blob.size), blob.size);
  };
  const unpack = (source: UnpackSource): Promise<unknown> => {
    const { diffId } = layer;
    return content.unpack({
      chainId,
      parent: below?.chainId,
      diffId,
      source,
      mediaType: blob.mediaType,
      lease,
      progress: extracting,
      signal,
    });
  };

  let early: Promise<unknown>;
  if (downloaded) early = unpackEarly(layer, Promise.resolve({ blob: blob.digest }), unpack, signal);
  else {
    const repositories = context.source.repositories;
    const { started, finished } = context.downloads.fetch(blob, { repositories, lease, signal, listener: listenerOf(layer) });
    const source = started.then((ingest) => ({ ingest, finished }));
    early = unpackEarly(layer, source, unpack, signal);
    layer.underWay.push(finished, early);
    // What is found out while it arrives need not arrive to its end.
    await Promise.race([finished, early.then(() => finished)]);
    downloaded = true;
  }
  progress.state("Download complete");
  progress.bytes("Extracting", Math.min(packed, blob.size), blob.size);
  await early;
  // Where that came to nothing (what it followed was begun anew, or over before it began), the whole blob decides.
  if (content.layer(chainId) === undefined) {
    await below?.done;
    if (signal.aborted) throw new LighterError("cancelled", "context canceled");
    await unpack({ blob: blob.digest });
  }
  progress.bytes("Extracting", blob.size, blob.size);
  progress.state("Pull complete");
}

type UnpackSource = Parameters<Content["unpack"]>[0]["source"];

/** Unpacks while the bytes arrive, once the layer below has begun. Rejects only where another attempt would end alike: else the caller looks whether the layer is there. */
async function unpackEarly(
  { begun, below }: Layer,
  source: Promise<UnpackSource>,
  unpack: (source: UnpackSource) => Promise<unknown>,
  signal: AbortSignal,
): Promise<void> {
  try {
    const from = await source;
    await below?.begun.promise;
    if (signal.aborted) return;
    const work = unpack(from);
    begun.resolve();
    await work;
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code === LAYER_TOO_LARGE) throw error;
    // The rest is told by the second attempt, which has the whole blob.
  }
}

function listenerOf({ blob, progress }: Layer): Listener {
  return {
    waiting: () => progress.state("Waiting"),
    progress: (done) => progress.bytes("Downloading", done, blob.size),
    retrying: (seconds) => progress.state(`Retrying in ${seconds} second${seconds === 1 ? "" : "s"}`),
    verifying: () => progress.state("Verifying Checksum"),
  };
}
