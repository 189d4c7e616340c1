import { shortId } from "../base/ids.ts";
import type { Content, Lease } from "../content/content.ts";
import { chainIds } from "../oci/digest.ts";
import type { Descriptor, Digest } from "../oci/image.ts";
import type { ProgressSink } from "../wire/progress.ts";
import type { Downloads, Listener } from "./downloads.ts";
import { LayerProgress } from "./progress.ts";
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
}

interface Layer {
  blob: Descriptor;
  diffId: Digest;
  chainId: Digest;
  parent: Digest | undefined;
  progress: LayerProgress;
}

/** Fetches all layers of a platform, several at once, and unpacks each while it arrives. The first failure stops the others; what they have stays for resuming. */
export async function fetchLayers(context: LayersContext, { manifest, config }: PresentManifest): Promise<void> {
  const chain = chainIds(config.rootfs.diff_ids);
  const seen = new Set<Digest>();
  const layers = manifest.layers.map((blob, index): Layer => {
    const silent = seen.has(blob.digest);
    seen.add(blob.digest);
    const progress = new LayerProgress(shortId(blob.digest), silent ? () => undefined : context.progress);
    // Both lists have the same length, which was checked when the documents came.
    return { blob, progress, diffId: config.rootfs.diff_ids[index] as Digest, chainId: chain[index] as Digest, parent: chain[index - 1] };
  });
  const missing = layers.filter((layer) => !pinPresent(context, layer));
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const work = missing.map((layer) => obtain({ ...context, signal }, layer));
  try {
    await Promise.all(work);
  } catch (error) {
    stop.abort();
    await Promise.allSettled(work);
    throw error;
  }
}

/** Whether a layer is here, packed and unpacked; the lease keeps what is. */
function pinPresent({ content, lease }: LayersContext, { blob, chainId, progress }: Layer): boolean {
  lease.addBlob(blob.digest);
  lease.addLayer(chainId);
  const present = content.blob(blob.digest) !== undefined && content.layer(chainId) !== undefined;
  progress.state(present ? "Already exists" : "Pulling fs layer");
  return present;
}

async function obtain(context: LayersContext, layer: Layer): Promise<void> {
  const { content, lease, signal } = context;
  const { blob, chainId, diffId, parent, progress } = layer;
  let packed = 0;
  let downloaded = content.blob(blob.digest) !== undefined;
  const extracting = (done: number): void => {
    packed = done;
    if (downloaded) progress.bytes("Extracting", Math.min(done, blob.size), blob.size);
  };
  const unpack = (source: Parameters<Content["unpack"]>[0]["source"]): Promise<unknown> =>
    content.unpack({ chainId, parent, diffId, source, mediaType: blob.mediaType, lease, progress: extracting, signal });

  let unpacked: Promise<unknown> | undefined;
  if (!downloaded) {
    const { started, finished } = context.downloads.fetch(blob, {
      repositories: context.source.repositories,
      lease,
      signal,
      listener: listenerOf(layer),
    });
    const ref = await started;
    if (content.layer(chainId) === undefined) unpacked = unpack({ ingest: ref, finished });
    unpacked?.catch(() => undefined);
    await finished;
    downloaded = true;
  }
  progress.state("Download complete");
  progress.bytes("Extracting", Math.min(packed, blob.size), blob.size);
  // What was followed may have been begun anew under the reader's feet: the whole blob decides.
  if (unpacked !== undefined) await unpacked.catch(() => undefined);
  if (content.layer(chainId) === undefined) await unpack({ blob: blob.digest });
  progress.bytes("Extracting", blob.size, blob.size);
  progress.state("Pull complete");
}

function listenerOf({ blob, progress }: Layer): Listener {
  return {
    waiting: () => progress.state("Waiting"),
    progress: (done) => progress.bytes("Downloading", done, blob.size),
    verifying: () => progress.state("Verifying Checksum"),
  };
}
