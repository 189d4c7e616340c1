import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { Repository } from "../distribution/distribution.ts";
import { digestOf } from "../oci/digest.ts";
import type { Descriptor, Digest, Manifest } from "../oci/image.ts";

/** One signature as a registry keeps it: what was signed, and what that says. */
export interface Signature {
  /** The bytes that the signature is over. */
  signed: Uint8Array;
  signatures: Uint8Array[];
  /** What is signed for. */
  subjects: SignedSubject[];
  /** It came with a certificate (of Fulcio, or of somebody's own authority), which says who signed in the place of a known key. */
  certified: boolean;
}

/** Content that a signature is for. */
export interface SignedSubject {
  digest: string;
  /** The name that the signer gave it; undefined where he gave none. */
  name: string | undefined;
}

/** What was found: signatures, and why others could not be read. */
export interface FoundSignatures {
  signatures: Signature[];
  problems: string[];
}

/** https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md */
const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE = "dev.cosignproject.cosign/signature";
const CERTIFICATE = "dev.sigstore.cosign/certificate";
const SIMPLE_TYPES: ReadonlySet<unknown> = new Set(["cosign container image signature", "atomic container signature"]);
/** https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md; any version. */
const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle[.+]/;
const STATEMENT = "application/vnd.in-toto+json";
/** Statements of other types say something about an image, but do not vouch for it. */
const SIGN = "https://sigstore.dev/cosign/sign/v1";
const MOST_DOCUMENT = 1 << 20;
const MOST_REFERRERS = 64;
const MOST_LAYERS = 64;

/**
 * All signatures of a manifest: those under cosign's tag, and those that refer to it. What cannot be read keeps none of the others from being found.
 * Throws what keeps the registry from telling what there is, where none was found.
 */
export async function findSignatures(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<FoundSignatures> {
  const options = signal === undefined ? {} : { signal };
  const found: FoundSignatures = { signatures: [], problems: [] };
  const failures: unknown[] = [];
  const missed = (error: unknown): void => void failures.push(error);
  await attempt(async () => {
    const bytes = await manifestOrNothing(repository, `${digest.replace(":", "-")}.sig`, options);
    if (bytes !== undefined) await attempt(() => readManifestOf(repository, bytes, found, options), problemOf(found));
  }, missed);
  await attempt(async () => {
    for (const referrer of (await repository.referrers(digest, options)).slice(0, MOST_REFERRERS))
      await attempt(() => readReferrer(repository, referrer.digest, found, options), problemOf(found));
  }, missed);
  if (found.signatures.length === 0 && failures.length > 0) throw failures[0];
  return found;
}

/** Does something that may fail, unless it was to stop. */
async function attempt(work: () => Promise<void>, failed: (error: unknown) => void): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (kindOf(error) === "cancelled") throw error;
    failed(error);
  }
}

function problemOf({ problems }: FoundSignatures): (error: unknown) => void {
  return (error) => void problems.push(messageOf(error));
}

async function readReferrer(
  repository: Repository,
  digest: Digest,
  found: FoundSignatures,
  options: { signal?: AbortSignal },
): Promise<void> {
  const bytes = await manifestOrNothing(repository, digest, options);
  if (bytes !== undefined) await readManifestOf(repository, bytes, found, options);
}

async function manifestOrNothing(
  repository: Repository,
  reference: string,
  options: { signal?: AbortSignal },
): Promise<Uint8Array | undefined> {
  try {
    return (await repository.manifest(reference, options)).bytes;
  } catch (error) {
    if (kindOf(error) === "not-found") return undefined;
    throw error;
  }
}

async function readManifestOf(
  repository: Repository,
  bytes: Uint8Array,
  found: FoundSignatures,
  options: { signal?: AbortSignal },
): Promise<void> {
  const { layers } = parse<Partial<Manifest>>(bytes);
  for (const layer of (Array.isArray(layers) ? layers : []).slice(0, MOST_LAYERS)) {
    const read = layer.mediaType === SIMPLE_SIGNING ? readSimple : BUNDLE.test(String(layer.mediaType)) ? readBundle : undefined;
    if (read === undefined) continue;
    await attempt(async () => {
      const signature = read(await readLayer(repository, layer, options), layer);
      if (signature !== undefined) found.signatures.push(signature);
    }, problemOf(found));
  }
}

/** The payload of cosign's first form; the signature stands in an annotation. */
function readSimple(bytes: Uint8Array, layer: Descriptor): Signature {
  const { critical } = JSON.parse(new TextDecoder().decode(bytes)) as {
    critical?: { type?: unknown; identity?: Record<string, unknown>; image?: Record<string, unknown> };
  };
  if (!SIMPLE_TYPES.has(critical?.type)) throw new Error(`a payload is of type ${JSON.stringify(critical?.type)}`);
  const name = critical?.identity?.["docker-reference"];
  return {
    signed: bytes,
    signatures: [Buffer.from(layer.annotations?.[SIGNATURE] ?? "", "base64")],
    subjects: [{ digest: String(critical?.image?.["docker-manifest-digest"]), name: textOf(name) }],
    certified: textOf(layer.annotations?.[CERTIFICATE]) !== undefined,
  };
}

interface Bundle {
  verificationMaterial?: { certificate?: unknown; x509CertificateChain?: unknown };
  dsseEnvelope?: { payload?: unknown; payloadType?: unknown; signatures?: { sig?: unknown }[] };
}

interface Statement {
  predicateType?: unknown;
  subject?: { name?: unknown; digest?: { sha256?: unknown } }[];
}

/** A statement in an envelope; undefined where it is not one that signs an image. */
function readBundle(bytes: Uint8Array): Signature | undefined {
  const { dsseEnvelope: envelope, verificationMaterial: material } = JSON.parse(new TextDecoder().decode(bytes)) as Bundle;
  if (envelope?.payloadType !== STATEMENT) return undefined;
  const payload = Buffer.from(String(envelope.payload), "base64");
  const { predicateType, subject } = JSON.parse(payload.toString()) as Statement;
  if (predicateType !== SIGN) return undefined;
  const subjects = Array.isArray(subject) ? subject : [];
  return {
    signed: paddedForSigning(STATEMENT, payload),
    signatures: (Array.isArray(envelope.signatures) ? envelope.signatures : []).map(({ sig }) => Buffer.from(String(sig), "base64")),
    subjects: subjects.map(({ name, digest }) => ({ digest: `sha256:${String(digest?.sha256)}`, name: textOf(name) })),
    certified: (material?.certificate ?? material?.x509CertificateChain) !== undefined,
  };
}

/** A JSON object of a registry. */
function parse<T extends object>(bytes: Uint8Array): T {
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
  if (typeof value !== "object" || value === null) throw new LighterError("invalid", "a signature's document is not an object");
  return value as T;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** The bytes that are signed of an envelope: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md */
function paddedForSigning(type: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `), payload]);
}

async function readLayer(repository: Repository, { digest, size }: Descriptor, options: { signal?: AbortSignal }): Promise<Uint8Array> {
  if (!(size <= MOST_DOCUMENT)) throw new Error(`a signature of ${size} bytes is too large`);
  const { body } = await repository.blob(digest, options);
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    pieces.push(piece);
    length += piece.length;
    if (length > MOST_DOCUMENT) throw new Error(`a signature of more than ${MOST_DOCUMENT} bytes is too large`);
  }
  const bytes = Buffer.concat(pieces);
  if (digestOf(bytes) !== digest) throw new Error(`the registry sent other content for ${digest}`);
  return bytes;
}
