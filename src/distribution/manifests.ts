import { LighterError } from "../base/errors.ts";
import { formatReference, type Reference } from "../base/reference.ts";
import { digestOf, parseDigest } from "../oci/digest.ts";
import { isIndex, isManifest, MEDIA, type Descriptor } from "../oci/image.ts";
import { readAtMost } from "./answers.ts";
import type { FetchedManifest } from "./distribution.ts";

/** What we can read, schema 1 last so that it can be refused with a sentence. */
export const MANIFEST_TYPES: readonly string[] = [
  MEDIA.ociIndex,
  MEDIA.dockerIndex,
  MEDIA.ociManifest,
  MEDIA.dockerManifest,
  `${MEDIA.dockerSchema1Signed};q=0.1`,
  `${MEDIA.dockerSchema1};q=0.1`,
];

/** Docker's limit for a manifest, which registries keep to. */
const MAX_MANIFEST = 4 << 20;

/** The descriptor that the headers of a manifest's answer give; undefined where one of them is missing or no digest. */
export function describedBy(response: Response): Descriptor | undefined {
  const digest = response.headers.get("docker-content-digest") ?? "";
  const size = Number(response.headers.get("content-length") ?? Number.NaN);
  const mediaType = mediaTypeOf(response);
  if (!/^sha256:[0-9a-f]{64}$/.test(digest) || !Number.isSafeInteger(size) || size <= 0) return undefined;
  return isIndex(mediaType) || isManifest(mediaType) ? { mediaType, digest: parseDigest(digest), size } : undefined;
}

/**
 * Reads and checks a manifest's answer: size, digest (where one was asked for), JSON, kind.
 * Throws `invalid`, for schema 1 with Docker's text.
 */
export async function readManifest(response: Response, asked: string, reference: Reference): Promise<FetchedManifest> {
  const { data: bytes, cut } = await readAtMost(response, MAX_MANIFEST);
  if (cut) throw new LighterError("invalid", `manifest for ${formatReference(reference)} is larger than ${MAX_MANIFEST} bytes`);
  const digest = digestOf(bytes);
  const promised = asked.includes(":") ? asked : (response.headers.get("docker-content-digest") ?? digest);
  if (promised !== digest) {
    throw new LighterError(
      "invalid",
      `manifest verification failed for digest ${promised}: the registry sent content with digest ${digest}`,
    );
  }
  return { bytes, descriptor: { mediaType: kindOfManifest(bytes, mediaTypeOf(response), reference), digest, size: bytes.length } };
}

function mediaTypeOf(response: Response): string {
  return (response.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
}

/** The media type of a manifest: as told by the header where it is one we know, else as its own fields say. */
function kindOfManifest(bytes: Uint8Array, told: string, reference: Reference): string {
  const parsed = parseJson(bytes, reference);
  if (parsed.schemaVersion === 1 || told === MEDIA.dockerSchema1 || told === MEDIA.dockerSchema1Signed) throw schema1(reference);
  const own = typeof parsed.mediaType === "string" ? parsed.mediaType : undefined;
  // General types (application/json, application/octet-stream) say nothing: servers of plain files send them.
  if (own !== undefined && told !== own && (isIndex(told) || isManifest(told)))
    throw new LighterError(
      "invalid",
      `manifest for ${formatReference(reference)} says that it is "${own}", and the registry that it is "${told}"`,
    );
  const shape = Array.isArray(parsed.manifests) ? MEDIA.ociIndex : Array.isArray(parsed.layers) ? MEDIA.ociManifest : undefined;
  const kind = [told, own, shape].find((type) => type !== undefined && (isIndex(type) || isManifest(type)));
  if (kind === undefined || shape === undefined || parsed.schemaVersion !== 2 || isIndex(kind) !== isIndex(shape)) {
    throw new LighterError(
      "invalid",
      `unsupported manifest media type "${told}" for ${formatReference(reference)}: neither an image manifest nor an index`,
    );
  }
  return kind;
}

interface Shape {
  schemaVersion?: unknown;
  mediaType?: unknown;
  manifests?: unknown;
  layers?: unknown;
}

function parseJson(bytes: Uint8Array, reference: Reference): Shape {
  try {
    const parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown;
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch {
    // Falls through: what is not JSON and what is not an object are one error.
  }
  throw new LighterError(
    "invalid",
    `cannot read the manifest of ${formatReference(reference)}: the registry sent something that is not a JSON object`,
  );
}

function schema1(reference: Reference): LighterError {
  return new LighterError(
    "invalid",
    `Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Suggest the author of ${formatReference(reference)} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/`,
  );
}
