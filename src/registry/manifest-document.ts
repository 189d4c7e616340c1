import { isIndex, isManifest, MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import { algorithmOf } from "./references.ts";

/** What the registry reads of a manifest or index. */
export interface ManifestDocument {
  mediaType: string;
  /** What must be here before it is taken; layers with addresses of their own need not be. */
  needs: Digest[];
  subject: Digest | undefined;
  /** Of an image without a type of its own it is its config's. */
  artifactType: string | undefined;
  annotations: Record<string, string> | undefined;
}

/** More than any image has: each is looked up before the manifest is taken. */
const MAX_DESCRIPTORS = 5000;

type Fields = Record<string, unknown>;

/**
 * Reads a manifest that was sent as `told` (a media type without parameters, or empty). Returns what is wrong with it as a sentence otherwise.
 * https://github.com/opencontainers/image-spec/blob/main/manifest.md
 */
export function readManifestDocument(bytes: Uint8Array, told: string): ManifestDocument | string {
  const document = parse(bytes);
  if (document === undefined) return "it is not a JSON object in UTF-8";
  if (document["schemaVersion"] !== 2) return "its schemaVersion is not 2";
  const mediaType = typeOf(document, told);
  if (told !== "" && mediaType !== told) return `its mediaType is "${mediaType}", but it was sent as "${told}"`;
  if (!isIndex(mediaType) && !isManifest(mediaType)) return `"${mediaType}" is not the type of a manifest`;
  const children = isIndex(mediaType) ? document["manifests"] : [document["config"], ...listOf(document["layers"] ?? [])];
  if (Array.isArray(children) && children.length > MAX_DESCRIPTORS)
    return `it refers to ${children.length} manifests or blobs, at most ${MAX_DESCRIPTORS} are taken`;
  if (!Array.isArray(children) || !children.every(isDescriptor)) return "one of its descriptors is wrong or missing";
  const subject = document["subject"] ?? undefined;
  if (subject !== undefined && !isDescriptor(subject)) return "its subject is not a descriptor";
  const artifactType = textOf(document["artifactType"]) ?? (isIndex(mediaType) ? undefined : (children[0]?.mediaType ?? undefined));
  const annotations = document["annotations"];
  return {
    mediaType,
    needs: [...new Set(children.filter(({ urls }) => !urls?.length).map(({ digest }) => digest))],
    subject: subject?.digest,
    artifactType,
    annotations: isObject(annotations) ? (annotations as Record<string, string>) : undefined,
  };
}

function parse(bytes: Uint8Array): Fields | undefined {
  try {
    const document: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isObject(document) ? document : undefined;
  } catch {
    return undefined;
  }
}

/** Its own word, what it was sent as, or what it looks like. */
function typeOf(document: Fields, told: string): string {
  if (typeof document["mediaType"] === "string") return document["mediaType"];
  if (told !== "") return told;
  return "manifests" in document ? MEDIA.ociIndex : MEDIA.ociManifest;
}

function isDescriptor(value: unknown): value is Descriptor {
  if (!isObject(value)) return false;
  const { mediaType, digest, urls } = value;
  if (urls !== undefined && urls !== null && !Array.isArray(urls)) return false;
  return typeof mediaType === "string" && typeof digest === "string" && algorithmOf(digest) !== undefined;
}

/** What is no list is a list with something wrong in it. */
function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [undefined];
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
