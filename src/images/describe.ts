import { familiarName, familiarReference, parseReference } from "../base/reference.ts";
import type { Content } from "../content/content.ts";
import { isIndex, type Descriptor, type Digest, type Index, type Platform } from "../oci/image.ts";
import { isAttestation } from "../oci/platform.ts";
import type { State } from "../state/state.ts";
import type { ImageManifestSummary } from "../wire/engine-api.ts";
import type { Documents } from "./documents.ts";
import { identityOf } from "./identity.ts";
import type { ImagesNeeds } from "./needs.ts";
import { platformFrom } from "./runnable.ts";
import { manifestsOf, reachableBytes, stackOf, type ImageRow, type ManifestRow, type NameRow } from "./rows.ts";

/** What describing images needs. */
export interface DescribeContext {
  state: State;
  content: Content;
  documents: Documents;
  users: ImagesNeeds["users"];
}

/** `ubuntu:24.04` for each name by tag. */
export function repoTags(names: readonly NameRow[]): string[] {
  return names.filter((row) => row.tag !== null).map((row) => familiarReference(parseReference(row.name)));
}

/** `ubuntu@sha256:...` once for each repository that the image is known under. */
export function repoDigests(names: readonly NameRow[], id: Digest): string[] {
  return [...new Set(names.map((row) => `${familiarName(parseReference(row.name))}@${id}`))];
}

/** The descriptor of what gives an image its id. */
export function targetOf(content: Content, image: ImageRow): { mediaType: string; digest: Digest; size: number } {
  return { mediaType: image.media_type, digest: image.id, size: content.blob(image.id)?.size ?? 0 };
}

/** Unpacked layers of all platforms of an image, each once, with their sizes in bytes. */
export function unpackedLayers(state: State, rows: readonly ManifestRow[]): Map<Digest, number> {
  const layers = new Map<Digest, number>();
  for (const { chain_id } of rows) for (const layer of stackOf(state, chain_id)) layers.set(layer.chain_id, layer.size);
  return layers;
}

/** Bytes of an image: what is packed and what is unpacked of it. */
export function totalSize(state: State, image: ImageRow, rows: readonly ManifestRow[]): number {
  let size = reachableBytes(state, image.id);
  for (const bytes of unpackedLayers(state, rows).values()) size += bytes;
  return size;
}

/** Everything an image consists of, as `manifests` of the API shows it: platforms that are here, those that are not, attestations. */
export async function summarizeManifests(
  context: DescribeContext,
  image: ImageRow,
  options: { identity?: boolean } = {},
): Promise<ImageManifestSummary[]> {
  const found = await summarizeAll(context, image);
  if (options.identity !== true) return found;
  return found.map((summary) => {
    const identity = identityOf(context.state, summary.ID as Digest);
    if (!summary.ImageData || identity === undefined) return summary;
    return { ...summary, ImageData: { ...summary.ImageData, Identity: identity } };
  });
}

async function summarizeAll(context: DescribeContext, image: ImageRow): Promise<ImageManifestSummary[]> {
  const { content, documents, state } = context;
  const rows = manifestsOf(state, image.id);
  if (!isIndex(image.media_type)) return rows.map((row) => summarizeOne(context, image, targetOf(content, image), row));
  const descriptors = await flattenIndex(documents, await documents.index(image.id), content);
  return descriptors.map((descriptor) =>
    summarizeOne(
      context,
      image,
      descriptor,
      rows.find((row) => row.manifest === descriptor.digest),
    ),
  );
}

/** All entries of an index, those of the indexes in it included as far as they are here. */
export async function flattenIndex(documents: Documents, index: Index, content: Content): Promise<Descriptor[]> {
  const found: Descriptor[] = [];
  for (const descriptor of index.manifests) {
    if (!isIndex(descriptor.mediaType)) found.push(descriptor);
    else if (content.blob(descriptor.digest) !== undefined)
      found.push(...(await flattenIndex(documents, await documents.index(descriptor.digest), content)));
  }
  return found;
}

function summarizeOne(
  context: DescribeContext,
  image: ImageRow,
  descriptor: Descriptor,
  row: ManifestRow | undefined,
): ImageManifestSummary {
  const { state } = context;
  const bytes = reachableBytes(state, descriptor.digest);
  const unpacked = row === undefined ? 0 : sum(stackOf(state, row.chain_id).map((layer) => layer.size));
  const summary: ImageManifestSummary = {
    ID: descriptor.digest,
    Descriptor: { ...descriptor, ...(descriptor.platform === undefined ? {} : { platform: { ...descriptor.platform } }) },
    Available: row !== undefined || (isAttestation(descriptor) && bytes > 0),
    Size: { Content: bytes, Total: bytes + unpacked },
    Kind: "unknown",
  };
  if (isAttestation(descriptor)) {
    const subject = descriptor.annotations?.["vnd.docker.reference.digest"] ?? "";
    return { ...summary, Kind: "attestation", AttestationData: { For: subject } };
  }
  const platform: Platform | undefined = row === undefined ? descriptor.platform : platformFrom(row.platform);
  if (platform === undefined) return summary;
  const containers = row === undefined ? [] : context.users(image.id).map((user) => user.id);
  return { ...summary, Kind: "image", ImageData: { Platform: { ...platform }, Containers: containers, Size: { Unpacked: unpacked } } };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
