import { LighterError } from "../base/errors.ts";
import { familiarReference, formatReference, parseReference, type Reference } from "../base/reference.ts";
import type { Digest } from "../oci/image.ts";
import type { Reader } from "../state/state.ts";
import { imageById, imagesByPrefix, manifestsByPrefix, nameRow, repositoryOf, type ImageRow, type ManifestRow } from "./rows.ts";

/** What a look-up found. */
export interface Found {
  image: ImageRow;
  /** The platform's manifest, where the look-up was by manifest or configuration digest. */
  manifest?: Digest;
  /** The name by which it was found; undefined where it was by id. */
  name?: Reference;
}

/** Docker 29 takes no shorter prefix than four digits: it would shadow names that do not exist. */
const HEX = /^(?:sha256:)?([0-9a-f]{4,64})$/;

/** Finds an image by name, id, manifest digest, configuration digest, or a prefix of those. Throws `not-found` with Docker's text, `invalid` for an ambiguous prefix. */
export function findImage(state: Reader, text: string): Found {
  const found = tryFindImage(state, text);
  if (found !== undefined) return found;
  throw new LighterError("not-found", `No such image: ${spell(text)}`);
}

/** As {@link findImage}, with undefined instead of `not-found`. */
export function tryFindImage(state: Reader, text: string): Found | undefined {
  const named = text.startsWith("sha256:") ? undefined : findByName(state, text);
  return named ?? findById(state, text);
}

function findByName(state: Reader, text: string): Found | undefined {
  const reference = tryParse(text);
  if (reference === undefined) return undefined;
  if (reference.digest !== undefined) return findByDigest(state, reference, reference.digest);
  const row = nameRow(state, formatReference(reference));
  const image = row === undefined ? undefined : imageById(state, row.image);
  return image === undefined ? undefined : { image, name: reference };
}

/** `name@sha256:...`: the digest decides, and the image must be known under that repository. */
function findByDigest(state: Reader, reference: Reference, digest: string): Found | undefined {
  const byId = findById(state, digest);
  if (byId === undefined) return undefined;
  const sql = "SELECT COUNT(*) AS count FROM image_names WHERE image = ? AND repository = ?";
  const known = state.get<{ count: number }>(sql, byId.image.id, repositoryOf(reference))?.count ?? 0;
  return known > 0 ? { ...byId, name: reference } : undefined;
}

function findById(state: Reader, text: string): Found | undefined {
  const hex = HEX.exec(text)?.[1];
  if (hex === undefined) return undefined;
  const prefix = `sha256:${hex}`;
  const images = imagesByPrefix(state, prefix);
  if (images.length > 1) throw ambiguous(text);
  if (images[0] !== undefined) return { image: images[0] };
  return findPart(state, "manifest", prefix, text) ?? findPart(state, "config", prefix, text);
}

/** By the digest of a part: two images may share it, and then either is right; two different digests are ambiguous. */
function findPart(state: Reader, column: "manifest" | "config", prefix: string, text: string): Found | undefined {
  const rows: ManifestRow[] = manifestsByPrefix(state, column, prefix);
  const first = rows[0];
  if (first === undefined) return undefined;
  if (rows.some((row) => row[column] !== first[column])) throw ambiguous(text);
  const image = imageById(state, first.image);
  return image === undefined ? undefined : { image, manifest: first.manifest };
}

function ambiguous(text: string): LighterError {
  return new LighterError("invalid", `multiple IDs found with provided prefix: ${text}`);
}

function tryParse(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

/** A name as Docker spells it in errors: with its tag; anything else as it came. Throws for what is neither a name nor an id. */
function spell(text: string): string {
  if (HEX.test(text) && text.length >= 12) return text;
  return familiarReference(parseReference(text));
}
