import { LighterError } from "../base/errors.ts";
import { shortId } from "../base/ids.ts";
import { familiarName, familiarReference, parseReference, type Reference } from "../base/reference.ts";
import type { Content } from "../content/content.ts";
import type { Credentials, Distribution, Repository } from "../distribution/distribution.ts";
import { isIndex, isManifest, type Descriptor, type Digest } from "../oci/image.ts";
import { isAttestation } from "../oci/platform.ts";
import type { State } from "../state/state.ts";
import type { ProgressSink } from "../wire/progress.ts";
import type { Documents } from "./documents.ts";
import { findImage } from "./find.ts";
import { transferEvent } from "./image-events.ts";
import { LayerProgress } from "./progress.ts";
import { choosePlatform } from "./runnable.ts";
import { namesIn, namesOf, repositoryOf, type ImageRow } from "./rows.ts";

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
  progress: ProgressSink;
  signal?: AbortSignal;
}

/** As Docker's `max-concurrent-uploads`. */
const UPLOADS = 5;

/** Pushes a name, or all tags of its repository: blobs that the registry lacks, then manifests, then the index. */
export async function push(context: PushContext, text: string, options: PushOptions): Promise<void> {
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw new LighterError("invalid", "cannot push a digest reference");
  const names = namesIn(context.state, repositoryOf(reference));
  if (names.length === 0) throw new LighterError("not-found", `An image does not exist locally with the tag: ${familiarName(reference)}`);
  const chosen = options.allTags === true ? names.map((row) => parseReference(row.name)) : [reference];
  for (const each of chosen) findImage(context.state, familiarReference(each));
  options.progress({ status: `The push refers to repository [${repositoryOf(reference)}]` });
  for (const each of chosen) await pushOne(context, each, options);
}

async function pushOne(context: PushContext, reference: Reference, options: PushOptions): Promise<void> {
  const { content, state, distribution } = context;
  const credentials = options.credentials === undefined ? {} : { credentials: options.credentials };
  const repository = distribution.repository(reference, { ...credentials, push: true })[0];
  if (repository === undefined) throw new LighterError("internal", "no address to push to");
  using lease = content.lease(`push ${familiarReference(reference)}`);
  const { image } = findImage(state, familiarReference(reference));
  lease.addBlob(image.id);
  const { target, note } = await targetFor(context, image, options.platform);
  const upload = new Upload(context, repository, reference, options, otherRepository(state, image, reference));
  await upload.tree(target);
  const bytes = await content.readBlob(target.digest);
  const tag = reference.tag ?? "latest";
  await repository.putManifest(tag, bytes, target.mediaType, signalOf(options));
  if (note !== undefined) options.progress({ status: note });
  options.progress({ status: `${tag}: digest: ${target.digest} size: ${target.size}` });
  options.progress({ aux: { Tag: tag, Digest: target.digest, Size: target.size } });
  state.write((tx) => transferEvent(tx, "push", reference), { durable: true });
}

/** The whole image where all of it is here; else one platform, and a line that says so. */
async function targetFor(
  { state, content, documents }: PushContext,
  image: ImageRow,
  platform: string | undefined,
): Promise<{ target: Descriptor; note?: string }> {
  const whole: Descriptor = { mediaType: image.media_type, digest: image.id, size: content.blob(image.id)?.size ?? 0 };
  if (!isIndex(image.media_type) || (!platform && (await isComplete(content, documents, image.id)))) return { target: whole };
  const row = choosePlatform(state, { image }, platform, image.id);
  const { mediaType = "application/vnd.oci.image.manifest.v1+json" } = await documents.manifest(row.manifest);
  const target: Descriptor = { mediaType, digest: row.manifest, size: content.blob(row.manifest)?.size ?? 0 };
  if (platform) return { target };
  const note = `Not all multiplatform-content is present and only the available single-platform image was pushed\n${image.id} -> ${row.manifest}`;
  return { target, note };
}

async function isComplete(content: Content, documents: Documents, id: Digest): Promise<boolean> {
  for (const each of (await documents.index(id)).manifests) {
    if (content.blob(each.digest) === undefined) return false;
    if (isIndex(each.mediaType) && !(await isComplete(content, documents, each.digest))) return false;
    if (!isManifest(each.mediaType) || isIndex(each.mediaType)) continue;
    const manifest = await documents.manifest(each.digest);
    if ([manifest.config, ...manifest.layers].some((part) => content.blob(part.digest) === undefined && !part.urls?.length)) return false;
  }
  return true;
}

/** Another repository of the same registry that this image has a name in: its blobs can be mounted instead of sent. */
function otherRepository(state: State, image: ImageRow, reference: Reference): string | undefined {
  return namesOf(state, image.id)
    .map((row) => parseReference(row.name))
    .find((other) => other.registry === reference.registry && other.repository !== reference.repository)?.repository;
}

/** One push under way: every blob once, at most five at a time. */
class Upload {
  readonly #context: PushContext;
  readonly #repository: Repository;
  readonly #options: PushOptions;
  readonly #mountFrom: string | undefined;
  readonly #reference: Reference;
  readonly #blobs = new Map<Digest, Promise<void>>();
  #active = 0;
  readonly #queue: (() => void)[] = [];

  constructor(context: PushContext, repository: Repository, reference: Reference, options: PushOptions, mountFrom: string | undefined) {
    this.#context = context;
    this.#repository = repository;
    this.#reference = reference;
    this.#options = options;
    this.#mountFrom = mountFrom;
  }

  /** Everything below a manifest or index, then the manifests below it by digest; the target itself is put by its tag. */
  async tree(target: Descriptor): Promise<void> {
    const { content, documents } = this.#context;
    if (!isIndex(target.mediaType)) return this.#manifest(target);
    for (const each of (await documents.index(target.digest)).manifests) {
      await this.tree(each);
      const bytes = await content.readBlob(each.digest);
      await this.#repository.putManifest(each.digest, bytes, each.mediaType, signalOf(this.#options));
    }
  }

  async #manifest(descriptor: Descriptor): Promise<void> {
    const manifest = await this.#context.documents.manifest(descriptor.digest);
    const silent = isAttestation(descriptor);
    const layers = manifest.layers.filter((layer) => !layer.urls?.length);
    const work = [...layers.map((layer) => this.#blob(layer, silent)), this.#blob(manifest.config, true)];
    const results = await Promise.allSettled(work);
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  #blob(blob: Descriptor, silent: boolean): Promise<void> {
    let work = this.#blobs.get(blob.digest);
    if (work === undefined) this.#blobs.set(blob.digest, (work = this.#send(blob, silent)));
    return work;
  }

  async #send(blob: Descriptor, silent: boolean): Promise<void> {
    const progress = new LayerProgress(shortId(blob.digest), silent ? () => undefined : this.#options.progress);
    progress.state("Preparing");
    await this.#enter(() => progress.state("Waiting"));
    try {
      progress.state(
        SAID[await this.#transfer(blob, progress)] ??
          `Mounted from ${familiarName({ ...this.#reference, repository: this.#mountFrom ?? "" })}`,
      );
    } finally {
      this.#active--;
      this.#queue.shift()?.();
    }
  }

  #transfer(blob: Descriptor, progress: LayerProgress): ReturnType<Repository["upload"]> {
    const path = this.#context.content.blobPath(blob.digest);
    return this.#repository.upload({
      digest: blob.digest,
      size: blob.size,
      open: (offset) => Bun.file(path).slice(offset).stream(),
      progress: (done) => progress.bytes("Pushing", done, blob.size),
      ...(this.#mountFrom === undefined ? {} : { mountFrom: this.#mountFrom }),
      ...signalOf(this.#options),
    });
  }

  async #enter(wait: () => void): Promise<void> {
    if (this.#active >= UPLOADS) {
      wait();
      await new Promise<void>((resolve) => void this.#queue.push(resolve));
    }
    this.#active++;
  }
}

const SAID: Readonly<Record<string, string>> = { uploaded: "Pushed", exists: "Layer already exists" };

function signalOf({ signal }: PushOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
