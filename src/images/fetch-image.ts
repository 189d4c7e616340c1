import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { formatReference, type Reference } from "../base/reference.ts";
import type { Content, Lease } from "../content/content.ts";
import type { Repository } from "../distribution/distribution.ts";
import { isIndex, isManifest, type Descriptor, type Digest, type ImageConfig, type Platform } from "../oci/image.ts";
import { formatPlatform, isAttestation, manifestsFor, platformDistance } from "../oci/platform.ts";
import { parseIndex, parseJson, parseManifest } from "./documents.ts";
import { fetchBlob, type Target } from "./fetch-blob.ts";
import { checkLayerKinds, imageConfig } from "./image-kind.ts";
import { platformOf, type PresentImage, type PresentManifest } from "./record.ts";
import type { Source } from "./sources.ts";

/** What fetching an image's documents needs. */
export interface FetchContext {
  content: Content;
  lease: Lease;
  source: Source;
  reference: Reference;
  wanted: Platform;
  /** The user named the platform: nothing else will do. */
  strict: boolean;
  signal: AbortSignal;
}

/** overlayfs stacks no more than this many layers. */
export const MOST_LAYERS = 500;
/** Indexes in indexes, so that a circle ends. */
const MOST_DEPTH = 4;
/** Indexes, and attestations, that are looked at in all. */
const MOST_INDEXES = 64;
const MOST_ATTESTATIONS = 256;
const MOST_DOCUMENT = 8 << 20;

/** Fetches index, manifest and configuration of the best platform, and its attestations: all of an image but the layers. */
export async function fetchDocuments(context: FetchContext): Promise<{ image: PresentImage; chosen: PresentManifest }> {
  const { target } = context.source;
  const image: PresentImage = { target, indexes: [], manifests: [], attestations: [] };
  const chosen = isIndex(target.mediaType) ? await fromIndex(context, target, image, 0) : await fetchPlatform(context, target);
  if (chosen === undefined) throw noMatch(context);
  image.manifests.push(chosen);
  await fetchAttestations(context, image, chosen.descriptor.digest);
  return { image, chosen };
}

async function fromIndex(
  context: FetchContext,
  descriptor: Descriptor,
  image: PresentImage,
  depth: number,
): Promise<PresentManifest | undefined> {
  if (depth >= MOST_DEPTH)
    throw new LighterError("invalid", `Cannot pull ${formatReference(context.reference)}: its indexes are nested too deep`);
  if (image.indexes.length >= MOST_INDEXES)
    throw new LighterError("invalid", `Cannot pull ${formatReference(context.reference)}: it has more than ${MOST_INDEXES} indexes in it`);
  const index = parseIndex(await fetchDocument(context, descriptor), descriptor.digest);
  image.indexes.push({ digest: descriptor.digest, index });
  for (const candidate of manifestsFor(index.manifests, context.wanted)) {
    if (isIndex(candidate.mediaType)) {
      const nested = await fromIndex(context, candidate, image, depth + 1);
      if (nested !== undefined) return nested;
    } else if (isManifest(candidate.mediaType)) {
      const found = await fetchPlatform({ ...context, strict: context.strict && candidate.platform === undefined }, candidate);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** Manifest and configuration; undefined where the configuration names another platform than the one that must be. */
async function fetchPlatform(context: FetchContext, descriptor: Descriptor): Promise<PresentManifest | undefined> {
  const manifest = parseManifest(await fetchDocument(context, descriptor), descriptor.digest);
  if (manifest.layers.length > MOST_LAYERS) {
    throw new LighterError(
      "invalid",
      `Cannot pull ${formatReference(context.reference)}: it has ${manifest.layers.length} layers, more than the ${MOST_LAYERS} that can be stacked`,
    );
  }
  checkLayerKinds(manifest, context.reference);
  const config = imageConfig(await fetchDocument(context, manifest.config, true), manifest, context.reference);
  if (config.rootfs.diff_ids.length !== manifest.layers.length) {
    throw new LighterError(
      "invalid",
      `layers from manifest don't match image configuration: ${manifest.layers.length} layers, ${config.rootfs.diff_ids.length} diff ids`,
    );
  }
  if (context.strict && platformDistance(context.wanted, platformOf(config)) === undefined) throw wrongPlatform(context, config);
  return { descriptor, manifest, config };
}

/** What was signed or said about the chosen platform comes along; it is small, and its absence is no failure of the pull. */
async function fetchAttestations(context: FetchContext, image: PresentImage, subject: Digest): Promise<void> {
  const descriptors = image.indexes
    .flatMap(({ index }) => index.manifests)
    .filter((each) => isAttestation(each) && isManifest(each.mediaType))
    .slice(0, MOST_ATTESTATIONS);
  for (const descriptor of descriptors) {
    if ((descriptor.annotations?.["vnd.docker.reference.digest"] ?? subject) !== subject) continue;
    try {
      const manifest = parseManifest(await fetchDocument(context, descriptor), descriptor.digest);
      for (const part of [manifest.config, ...manifest.layers]) await fetchSmall(context, part);
      image.attestations.push({ digest: descriptor.digest, manifest });
    } catch (error) {
      if (kindOf(error) === "cancelled" || kindOf(error) === "no-space") throw error;
      logOf("images").warn("attestation {digest} was left out: {error}", { digest: descriptor.digest, error: messageOf(error) });
    }
  }
}

/** A small document: from the content store if it is there, else from the registry; stored under the lease either way. */
async function fetchDocument(context: FetchContext, descriptor: Descriptor, asBlob = false): Promise<unknown> {
  const { content, lease, source, signal } = context;
  const { digest, mediaType } = descriptor;
  if (descriptor.size > MOST_DOCUMENT)
    throw new LighterError("invalid", `Cannot pull ${digest}: a document of ${descriptor.size} bytes is too large`);
  lease.addBlob(digest);
  if (content.blob(digest) !== undefined) return parseJson(await content.readBlob(digest, MOST_DOCUMENT), digest);
  if (asBlob) {
    await fetchSmall(context, descriptor);
    return parseJson(await content.readBlob(digest, MOST_DOCUMENT), digest);
  }
  const fetched = source.fetched?.descriptor.digest === digest ? source.fetched : await firstManifest(context, digest, signal);
  await content.writeBlob(fetched.bytes, mediaType, lease);
  return parseJson(fetched.bytes, digest);
}

async function firstManifest({ source }: FetchContext, digest: Digest, signal: AbortSignal): Promise<{ bytes: Uint8Array }> {
  let failure: unknown;
  for (const repository of source.repositories) {
    try {
      return await repository.manifest(digest, { signal });
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** A blob that needs no progress of its own, held in memory until its digest is known to be right. */
async function fetchSmall({ content, lease, source, signal }: FetchContext, descriptor: Descriptor): Promise<void> {
  lease.addBlob(descriptor.digest);
  if (content.blob(descriptor.digest) !== undefined) return;
  if (descriptor.size > MOST_DOCUMENT * 8)
    throw new LighterError("invalid", `Cannot pull ${descriptor.digest}: ${descriptor.size} bytes are too many for a document`);
  const bytes = await fetchInMemory(source.repositories, descriptor, signal);
  await content.writeBlob(bytes, descriptor.mediaType, lease);
}

/** What a mirror spoils comes from the next address. */
async function fetchInMemory(repositories: readonly Repository[], descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
  for (;;) {
    const memory = memoryIngest();
    const from = new Set<Repository>();
    const progress = (): void => undefined;
    // In one piece: what is held in memory only grows at its end.
    await fetchBlob(memory, descriptor, { repositories, signal, progress, from: (each) => from.add(each), ranges: false });
    const bytes = memory.bytes();
    const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
    if (digest === descriptor.digest) return bytes;
    const reason = `image config verification failed for digest ${descriptor.digest}: the registry sent content with digest ${digest}`;
    for (const each of from) each.distrust(reason);
    // The registry itself is trusted whatever it sends: there is nobody else to ask.
    if ([...from].every((each) => each.trusted)) throw new LighterError("invalid", reason);
  }
}

function memoryIngest(): Target & { bytes(): Uint8Array } {
  let pieces: Uint8Array[] = [];
  let size = 0;
  return {
    get offset() {
      return size;
    },
    get received() {
      return size;
    },
    holes: (whole) => (size < whole ? [{ start: size, end: whole }] : []),
    place(_, data) {
      pieces.push(data);
      size += data.length;
      return Promise.resolve();
    },
    restart() {
      pieces = [];
      size = 0;
      return Promise.resolve();
    },
    bytes: () => Buffer.concat(pieces),
  };
}

function noMatch({ wanted }: FetchContext): LighterError {
  return new LighterError("not-found", `no matching manifest for ${formatPlatform(wanted)} in the manifest list entries`);
}

function wrongPlatform({ reference, wanted }: FetchContext, config: ImageConfig): LighterError {
  return new LighterError(
    "not-found",
    `image with reference ${formatReference(reference)} was found but its platform (${formatPlatform(platformOf(config))}) does not match the specified platform (${formatPlatform(wanted)})`,
  );
}
