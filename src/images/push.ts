import { LighterError } from "../base/errors.ts";
import { familiarName, familiarReference, formatReference, parseReference, type Reference } from "../base/reference.ts";
import type { Content } from "../content/content.ts";
import type { Credentials, Distribution, RegistryHost, Repository } from "../distribution/distribution.ts";
import { Heard } from "../distribution/warnings.ts";
import { isIndex, type Descriptor } from "../oci/image.ts";
import { isAttestation } from "../oci/platform.ts";
import type { State } from "../state/state.ts";
import type { ProgressSink } from "../wire/progress.ts";
import { noteSources } from "./blob-sources.ts";
import type { Documents } from "./documents.ts";
import { transferEvent } from "./image-events.ts";
import { pushBlobs, type ToSend } from "./push-blobs.ts";
import { choosePushTarget, type PushTarget } from "./push-target.ts";
import { imageById, nameRow, namesIn, repositoryOf, type ImageRow } from "./rows.ts";

/** What pushing needs. */
export interface PushContext {
  state: State;
  content: Content;
  documents: Documents;
  distribution: Distribution;
}

/** As `Images.push` takes them. */
export interface PushOptions {
  platform?: string;
  credentials?: Credentials;
  allTags?: boolean;
  /** Send it there, under the same name, and not to the registry that the name says. */
  host?: RegistryHost;
  progress: ProgressSink;
  signal?: AbortSignal;
}

interface Pushing extends PushOptions {
  heard: Heard;
}

/** Pushes a name, or all tags of its repository: blobs that the registry lacks, then manifests, then the index. */
export async function push(context: PushContext, text: string, options: PushOptions): Promise<void> {
  const heard = new Heard();
  try {
    await pushNames(context, text, { ...options, heard });
  } finally {
    heard.tell(options.progress);
  }
}

async function pushNames(context: PushContext, text: string, options: Pushing): Promise<void> {
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw new LighterError("invalid", "cannot push a digest reference");
  options.progress({ status: `The push refers to repository [${repositoryOf(reference)}]` });
  if (options.allTags !== true) return pushOne(context, reference, options);
  const names = namesIn(context.state, repositoryOf(reference));
  if (names.length === 0) throw new LighterError("not-found", `An image does not exist locally with the tag: ${familiarName(reference)}`);
  for (const { name } of names) await pushOne(context, parseReference(name), options);
}

async function pushOne(context: PushContext, reference: Reference, options: Pushing): Promise<void> {
  const { content, state } = context;
  const row = nameRow(state, formatReference(reference));
  const image = row === undefined ? undefined : imageById(state, row.image);
  if (image === undefined) throw new LighterError("not-found", `tag does not exist: ${familiarReference(reference)}`);
  using lease = content.lease(`push ${familiarReference(reference)}`);
  lease.addBlob(image.id);
  const { target, insteadOf } = await targetOf(context, image, reference, options);
  const repository = repositoryFor(context, reference, options);
  await sendAll(context, repository, reference, target, options);
  const tag = reference.tag ?? "latest";
  await repository.putManifest(tag, await content.readBlob(target.digest), target.mediaType, signalOf(options));
  options.heard.tell(options.progress);
  if (insteadOf !== undefined)
    options.progress({ aux: { manifestPushedInsteadOfIndex: true, originalIndex: insteadOf, selectedManifest: target } });
  options.progress({ status: `${tag}: digest: ${target.digest} size: ${target.size}` });
  options.progress({ aux: { Tag: tag, Digest: target.digest, Size: target.size } });
  state.write(
    (tx) => {
      if (options.host === undefined) noteSources(tx, reference, target.digest);
      transferEvent(tx, "push", reference);
    },
    { durable: true },
  );
}

/** What of an image goes: another store of ours takes one of which not all platforms are here, and its id stays the same. */
function targetOf(context: PushContext, image: ImageRow, reference: Reference, { host, platform }: PushOptions): Promise<PushTarget> {
  if (host === undefined || platform) return choosePushTarget(context, image, reference, platform);
  const target: Descriptor = { mediaType: image.media_type, digest: image.id, size: context.content.blob(image.id)?.size ?? 0 };
  return Promise.resolve({ target });
}

function repositoryFor({ distribution }: PushContext, reference: Reference, { credentials, host, heard }: Pushing): Repository {
  const asked = {
    push: true,
    warned: heard.hear,
    ...(credentials === undefined ? {} : { credentials }),
    ...(host === undefined ? {} : { host }),
  };
  const repository = distribution.repository(reference, asked)[0];
  if (repository === undefined) throw new LighterError("internal", "no address to push to");
  return repository;
}

/** Everything below the target: all blobs, then manifests and indexes, each after what it refers to. The target itself is put by its tag. */
async function sendAll(
  context: PushContext,
  repository: Repository,
  reference: Reference,
  target: Descriptor,
  options: PushOptions,
): Promise<void> {
  const { content, state, distribution } = context;
  const { progress, signal } = options;
  const direct = options.host !== undefined;
  const foreign = direct || (await distribution.takesForeign(reference.registry));
  const found = await partsOf(context, target, { partly: direct, foreign });
  await pushBlobs({ state, content, repository, reference, limits: distribution.limits, direct, progress, signal }, found.blobs);
  for (const each of found.manifests)
    await repository.putManifest(each.digest, await content.readBlob(each.digest), each.mediaType, signalOf(options));
}

/** What an image consists of, or `partly` what of it is here; layers that have addresses of their own stay there, unless `foreign`. */
async function partsOf(
  context: PushContext,
  target: Descriptor,
  how: { partly: boolean; foreign: boolean },
): Promise<{ blobs: ToSend[]; manifests: Descriptor[] }> {
  const { content, documents } = context;
  const isHere = (each: Descriptor): boolean => content.blob(each.digest) !== undefined;
  const wanted = (each: Descriptor): boolean => !how.partly || isHere(each);
  if (!isIndex(target.mediaType)) {
    const { config, layers } = await documents.manifest(target.digest);
    const told = !isAttestation(target);
    const own = layers.filter((layer) => !layer.urls?.length || (how.foreign && isHere(layer)));
    const blobs = [...own.map((blob) => ({ blob, told })), { blob: config, told: false }];
    return { blobs: blobs.filter(({ blob }) => wanted(blob)), manifests: [] };
  }
  const blobs: ToSend[] = [];
  const manifests: Descriptor[] = [];
  for (const each of (await documents.index(target.digest)).manifests.filter(wanted)) {
    const below = await partsOf(context, each, how);
    blobs.push(...below.blobs);
    manifests.push(...below.manifests, each);
  }
  return { blobs, manifests };
}

function signalOf({ signal }: PushOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
