import { now } from "../base/clock.ts";
import { formatReference, type Reference } from "../base/reference.ts";
import type { Digest } from "../oci/image.ts";
import type { Reader, Tx } from "../state/state.ts";

/** A row of `images`; times are text, as 53 bits are too few for them. */
export interface ImageRow {
  id: Digest;
  media_type: string;
  /** Bytes of all blobs of the image that are here. */
  size: number;
  created: string;
  last_used: string;
}

/** A runnable platform of an image whose manifest, configuration and layers are here. */
export interface ManifestRow {
  image: Digest;
  manifest: Digest;
  config: Digest;
  /** As `formatPlatform` writes it. */
  platform: string;
  /** Empty for an image without layers. */
  chain_id: Digest | "";
  /** The place in the index. */
  position: number;
}

/** A name of an image: by tag, or by digest where it was pulled that way. */
export interface NameRow {
  name: string;
  repository: string;
  tag: string | null;
  digest: Digest | null;
  image: Digest;
  created: string;
}

const IMAGE = "SELECT id, media_type, size, CAST(created AS TEXT) AS created, CAST(last_used AS TEXT) AS last_used FROM images";
const NAME = "SELECT name, repository, tag, digest, image, CAST(created AS TEXT) AS created FROM image_names";
const MANIFEST = "SELECT image, manifest, config, platform, chain_id, position FROM image_manifests";

export function imageById(state: Reader, id: string): ImageRow | undefined {
  return state.get<ImageRow>(`${IMAGE} WHERE id = ?`, id);
}

/** Ids that begin with a prefix; more than one are cut after two. */
export function imagesByPrefix(state: Reader, prefix: string): ImageRow[] {
  return state.all<ImageRow>(`${IMAGE} WHERE id >= ? AND id < ? LIMIT 2`, prefix, `${prefix}g`);
}

export function allImages(state: Reader): ImageRow[] {
  return state.all<ImageRow>(`${IMAGE} ORDER BY created DESC, id`);
}

export function countImages(state: Reader): number {
  return state.get<{ count: number }>("SELECT COUNT(*) AS count FROM images")?.count ?? 0;
}

export function nameRow(state: Reader, name: string): NameRow | undefined {
  return state.get<NameRow>(`${NAME} WHERE name = ?`, name);
}

export function namesOf(state: Reader, image: Digest): NameRow[] {
  return state.all<NameRow>(`${NAME} WHERE image = ? ORDER BY name`, image);
}

/** All names with a tag in a repository (`docker.io/library/ubuntu`). */
export function namesIn(state: Reader, repository: string): NameRow[] {
  return state.all<NameRow>(`${NAME} WHERE repository = ? AND tag IS NOT NULL ORDER BY tag`, repository);
}

export function manifestsOf(state: Reader, image: Digest): ManifestRow[] {
  return state.all<ManifestRow>(`${MANIFEST} WHERE image = ? ORDER BY position`, image);
}

/** Platforms whose manifest or configuration digest begins with a prefix (or is it). */
export function manifestsByPrefix(state: Reader, column: "manifest" | "config", prefix: string): ManifestRow[] {
  const sql = column === "manifest" ? `${MANIFEST} WHERE manifest >= ? AND manifest < ?` : `${MANIFEST} WHERE config >= ? AND config < ?`;
  return state.all<ManifestRow>(`${sql} ORDER BY image LIMIT 20`, prefix, `${prefix}g`);
}

/** Stores the image or, where it is known, notes its new size and this use of it. */
export function putImage(tx: Tx, image: { id: Digest; mediaType: string; size: number }): void {
  const time = now();
  tx.run(
    "INSERT INTO images (id, media_type, size, created, last_used) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET size = excluded.size, last_used = excluded.last_used",
    image.id,
    image.mediaType,
    image.size,
    time,
    time,
  );
}

export function putManifest(tx: Tx, row: ManifestRow): void {
  tx.run(
    "INSERT OR REPLACE INTO image_manifests (image, manifest, config, platform, chain_id, position) VALUES (?, ?, ?, ?, ?, ?)",
    row.image,
    row.manifest,
    row.config,
    row.platform,
    row.chain_id,
    row.position,
  );
}

/** Takes a platform out of an image that keeps others; a pull brings it back. */
export function deleteManifest(tx: Tx, image: Digest, manifest: Digest): void {
  tx.run("DELETE FROM image_manifests WHERE image = ? AND manifest = ?", image, manifest);
  tx.run("DELETE FROM blob_edges WHERE parent = ? AND child = ?", image, manifest);
  tx.run("UPDATE images SET size = ? WHERE id = ?", reachableBytes(tx, image), image);
}

/** Tells the store what a blob is, where it came without saying (out of an archive, or by an upload). */
export function putMediaType(tx: Tx, digest: Digest, mediaType: string): void {
  tx.run("UPDATE blobs SET media_type = ? WHERE digest = ? AND media_type = 'application/octet-stream'", mediaType, digest);
}

/** Makes a name mean an image; returns the image that it meant before. */
export function putName(tx: Tx, reference: Reference, image: Digest): Digest | undefined {
  const name = formatReference(reference);
  const before = nameRow(tx, name)?.image;
  tx.run(
    "INSERT OR REPLACE INTO image_names (name, repository, tag, digest, image, created) VALUES (?, ?, ?, ?, ?, ?)",
    name,
    repositoryOf(reference),
    reference.tag ?? null,
    reference.digest ?? null,
    image,
    now(),
  );
  return before;
}

export function deleteName(tx: Tx, name: string): void {
  tx.run("DELETE FROM image_names WHERE name = ?", name);
}

/** Removes an image with its names and platforms; its blobs and layers go at the next collection. */
export function deleteImage(tx: Tx, id: Digest): void {
  tx.run("DELETE FROM images WHERE id = ?", id);
}

/** `docker.io/library/ubuntu`: the column `repository`. */
export function repositoryOf(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** Bytes of all blobs here that something refers to, directly or not, itself included. */
export function reachableBytes(state: Reader, digest: Digest): number {
  const sql = `WITH RECURSIVE reach(digest) AS (VALUES (?) UNION SELECT child FROM blob_edges JOIN reach ON parent = reach.digest)
    SELECT COALESCE(SUM(size), 0) AS bytes FROM blobs WHERE digest IN (SELECT digest FROM reach)`;
  return state.get<{ bytes: number }>(sql, digest)?.bytes ?? 0;
}

/** Chain ids of a stack with the size of each unpacked layer, topmost first; only those that are here. */
export function stackOf(state: Reader, chainId: Digest | ""): { chain_id: Digest; size: number }[] {
  const sql = `WITH RECURSIVE stack(chain_id, parent, size) AS (
      SELECT chain_id, parent, size FROM layers WHERE chain_id = ?
      UNION ALL SELECT layers.chain_id, layers.parent, layers.size FROM layers JOIN stack ON layers.chain_id = stack.parent)
    SELECT chain_id, size FROM stack`;
  return state.all<{ chain_id: Digest; size: number }>(sql, chainId);
}
