import { LighterError } from "../base/errors.ts";
import { isIndex, MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import { entriesOf } from "./referrers.ts";

/** What a manifest says of itself that a list of referrers repeats. */
export interface Referring {
  /** What it refers to. */
  subject: Digest | undefined;
  /** Its own media type, if it names one. */
  mediaType: string | undefined;
  artifactType: string | undefined;
  annotations: Record<string, string> | undefined;
}

interface Fields {
  mediaType?: unknown;
  artifactType?: unknown;
  config?: { mediaType?: unknown } | null;
  subject?: { digest?: unknown } | null;
  annotations?: Record<string, string> | null;
}

/** Reads them; nothing of what is no JSON. A manifest without a type of artifact has that of its configuration, an index has none. */
export function referringOf(bytes: Uint8Array): Referring {
  const { mediaType, artifactType, config, subject, annotations } = fieldsOf(bytes);
  const digest = text(subject?.digest);
  return {
    subject: digest !== undefined && /^sha256:[0-9a-f]{64}$/.test(digest) ? (digest as Digest) : undefined,
    mediaType: text(mediaType),
    artifactType: text(artifactType) ?? text(config?.mediaType),
    annotations: annotations ?? undefined,
  };
}

function fieldsOf(bytes: Uint8Array): Fields {
  try {
    return (JSON.parse(new TextDecoder().decode(bytes)) as Fields | null) ?? {};
  } catch {
    return {};
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/**
 * A list of referrers with one more, for registries that keep none themselves: undefined where it is in it already. Throws `conflict` where what is under the
 * list's tag is no list. https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject
 */
export function withReferrer(
  list: { bytes: Uint8Array; mediaType: string } | undefined,
  referrer: Descriptor,
  { subject, artifactType, annotations }: Referring,
): Uint8Array | undefined {
  if (list !== undefined && !isIndex(list.mediaType))
    throw new LighterError(
      "conflict",
      `Cannot note that ${referrer.digest} refers to ${subject}: what stands in the place of the list is no index`,
    );
  const known = list === undefined ? [] : entriesOf(list.bytes);
  if (known.some(({ digest }) => digest === referrer.digest)) return undefined;
  const entry = { ...referrer, ...(artifactType !== undefined && { artifactType }), ...(annotations !== undefined && { annotations }) };
  const old = list === undefined ? {} : (fieldsOf(list.bytes) as object);
  return new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, ...old, manifests: [...known, entry] }));
}
