import { shortId } from "../base/ids.ts";
import type { Reference } from "../base/reference.ts";
import type { Content } from "../content/content.ts";
import type { Repository } from "../distribution/distribution.ts";
import type { Descriptor, Digest } from "../oci/image.ts";
import type { Reader } from "../state/state.ts";
import type { ProgressSink } from "../wire/progress.ts";
import { sourcesOf } from "./blob-sources.ts";
import { LayerProgress } from "../wire/layer-progress.ts";

/** What sending blobs needs. */
export interface BlobsContext {
  state: Reader;
  content: Content;
  repository: Repository;
  reference: Reference;
  /** How many are sent at once; may change meanwhile. */
  limits: { readonly uploads: number };
  /** It goes to another store of ours, which knows what it has of a blob by its digest: asked by the name of a mount. */
  direct: boolean;
  progress: ProgressSink;
  signal: AbortSignal | undefined;
}

/** A blob to send, and whether its progress is told. */
export interface ToSend {
  blob: Descriptor;
  told: boolean;
}

/** Sends every blob once, several at a time. The first failure ends the others. */
export async function pushBlobs(context: BlobsContext, blobs: readonly ToSend[]): Promise<void> {
  const queue = [...new Map<Digest, ToSend>(blobs.toReversed().map((each) => [each.blob.digest, each])).values()].toReversed();
  const waiting = queue.map(({ blob, told }) => ({
    blob,
    progress: new LayerProgress(shortId(blob.digest), told ? context.progress : () => undefined),
  }));
  for (const { progress } of waiting) progress.state("Preparing");
  for (const { progress } of waiting.slice(context.limits.uploads)) progress.state("Waiting");
  const failed = new AbortController();
  const signal = context.signal === undefined ? failed.signal : AbortSignal.any([context.signal, failed.signal]);
  const errors: unknown[] = [];
  async function work(): Promise<void> {
    for (let next = waiting.shift(); next !== undefined && !signal.aborted; next = waiting.shift()) {
      await send({ ...context, signal }, next.blob, next.progress).catch((error: unknown) => {
        errors.push(error);
        failed.abort();
      });
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.min(context.limits.uploads, waiting.length)) }, work));
  context.signal?.throwIfAborted();
  if (errors.length > 0) throw errors[0];
}

async function send(context: BlobsContext, blob: Descriptor, progress: LayerProgress): Promise<void> {
  const path = context.content.blobPath(blob.digest);
  let from = "";
  const outcome = await context.repository.upload({
    digest: blob.digest,
    size: blob.size,
    open: (offset) => Bun.file(path).slice(offset).stream(),
    progress: (done) => progress.bytes("Pushing", done, blob.size),
    mountFrom: context.direct ? context.reference.repository : sourcesOf(context.state, context.reference, blob.digest),
    mounted: (repository) => (from = repository),
    ...(context.signal === undefined ? {} : { signal: context.signal }),
  });
  progress.state({ uploaded: "Pushed", exists: "Layer already exists", mounted: `Mounted from ${from}` }[outcome]);
}
