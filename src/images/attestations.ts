import { LighterError } from "../base/errors.ts";
import { parseExactly } from "../base/exact-json.ts";
import { isIndex, MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import { formatPlatform, hostPlatform, manifestsFor, parsePlatform } from "../oci/platform.ts";
import type { AttestationStatement } from "../wire/engine-api.ts";
import { flattenIndex, type DescribeContext } from "./describe.ts";
import { findImage } from "./find.ts";

/** As `Images.attestations` takes them. */
export interface AttestationOptions {
  platform?: string;
  /** Types of predicates (URIs) that are asked for; all when empty. */
  types?: readonly string[];
  /** The statements themselves come along. */
  statements?: boolean;
}

/** How BuildKit marks what belongs to an image of the same index: https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md */
const REFERENCE_TYPE = "vnd.docker.reference.type";
const REFERENCE_DIGEST = "vnd.docker.reference.digest";
const PREDICATE_TYPE = "in-toto.io/predicate-type";

/**
 * What an image's index carries about one of its platforms: statements of where it comes from and what is in it. Empty for an image that is no OCI index or
 * has none. Throws `not-found` where the index does not have the platform, or where a statement that is asked for is not here.
 */
export async function attestationsOf(
  { state, content, documents }: DescribeContext,
  reference: string,
  options: AttestationOptions = {},
): Promise<AttestationStatement[]> {
  const { image, manifest: asked } = findImage(state, reference);
  if (image.media_type !== MEDIA.ociIndex) return [];
  const entries = await flattenIndex(documents, await documents.index(image.id), content);
  const chosen = asked ?? platformIn(entries, options.platform, reference);
  const about = entries.find(
    ({ annotations }) => annotations?.[REFERENCE_TYPE] === "attestation-manifest" && annotations[REFERENCE_DIGEST] === chosen,
  );
  if (about === undefined) return [];
  if (content.blob(about.digest) === undefined)
    throw new LighterError("not-found", `attestation manifest ${about.digest} is not available locally`);
  const found: AttestationStatement[] = [];
  for (const layer of (await documents.manifest(about.digest)).layers) {
    const type = layer.annotations?.[PREDICATE_TYPE] ?? "";
    if (type === "" || (options.types?.length && !options.types.includes(type))) continue;
    const statement = options.statements === true ? { Statement: await readStatement(content, layer) } : {};
    found.push({ Descriptor: wireDescriptor(layer), PredicateType: type, ...statement });
  }
  return found;
}

function platformIn(entries: readonly Descriptor[], platform: string | undefined, reference: string): Digest {
  const wanted = platform ? parsePlatform(platform) : hostPlatform();
  const chosen = manifestsFor(entries, wanted).find(({ mediaType }) => !isIndex(mediaType));
  if (chosen !== undefined) return chosen.digest;
  throw new LighterError("not-found", `no manifest found for platform ${formatPlatform(wanted)} in image ${reference}`);
}

function wireDescriptor({ platform, ...rest }: Descriptor): AttestationStatement["Descriptor"] {
  return platform === undefined ? rest : { ...rest, platform: { ...platform } };
}

async function readStatement(content: DescribeContext["content"], { digest }: Descriptor): Promise<{ [key: string]: unknown }> {
  if (content.blob(digest) === undefined) throw new LighterError("not-found", `attestation statement ${digest} is not available locally`);
  try {
    return parseExactly(new TextDecoder("utf-8", { fatal: true }).decode(await content.readBlob(digest))) as { [key: string]: unknown };
  } catch (cause) {
    throw new LighterError("internal", `failed to read attestation statement ${digest}: it is not JSON`, { cause });
  }
}
