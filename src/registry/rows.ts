import { now } from "../base/clock.ts";
import type { RootsSql } from "../content/content.ts";
import type { Digest } from "../oci/image.ts";
import type { Reader, Tx } from "../state/state.ts";

/** Links that keep what they mean. */
const KEEPING = `(kind = 'manifest' OR MAX(created, seen) >
      (unixepoch('subsec') - COALESCE((SELECT value_json FROM settings WHERE key = 'registry.grace'), 86400)) * 1000000000)`;

/** What the registry keeps alive: all manifests with what they refer to, and for a day blobs that no manifest refers to yet. */
export const REGISTRY_ROOTS: RootsSql = {
  blobs: `SELECT COALESCE(content, digest) AS digest FROM registry_links WHERE ${KEEPING}`,
  holds: `EXISTS (SELECT 1 FROM registry_links WHERE registry_links.digest = blobs.digest AND content IS NULL AND ${KEEPING})
    OR EXISTS (SELECT 1 FROM registry_links WHERE content = blobs.digest AND ${KEEPING})`,
};

/** A manifest or blob that a repository shows. */
export interface LinkRow {
  repository: string;
  digest: Digest;
  kind: "manifest" | "blob";
  media_type: string;
  /** The sha256 of its bytes, where its digest is of another algorithm. */
  content?: Digest | null;
}

const LINK = "SELECT repository, digest, kind, media_type, content FROM registry_links";

/** The digest under which the storage has it. */
export function contentOf(link: LinkRow): Digest {
  return link.content ?? link.digest;
}

export function linkRow(state: Reader, repository: string, digest: string): LinkRow | undefined {
  return state.get<LinkRow>(`${LINK} WHERE repository = ? AND digest = ?`, repository, digest);
}

/** Where content is shown, in any repository. */
export function findContent(state: Reader, digest: string): LinkRow[] {
  return state.all<LinkRow>(`${LINK} WHERE digest = ? LIMIT 100`, digest);
}

/** Every manifest of every repository. */
export function manifestLinks(state: Reader): LinkRow[] {
  return state.all<LinkRow>(`${LINK} WHERE kind = 'manifest'`);
}

/** Adds a manifest or blob to a repository; a blob that is pushed again is kept for another day. */
export function putLink(tx: Tx, link: LinkRow): void {
  tx.run(
    `INSERT INTO registry_links (repository, digest, kind, media_type, content, created) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET kind = excluded.kind, media_type = excluded.media_type, created = excluded.created`,
    link.repository,
    link.digest,
    link.kind,
    link.media_type,
    link.content ?? null,
    now(),
  );
}

/** Removes a manifest or blob from a repository, and the tags that mean it. */
export function deleteLink(tx: Tx, repository: string, digest: string): void {
  tx.run("DELETE FROM registry_links WHERE repository = ? AND digest = ?", repository, digest);
  tx.run("DELETE FROM registry_tags WHERE repository = ? AND digest = ?", repository, digest);
  tx.run("DELETE FROM registry_referrers WHERE repository = ? AND digest = ?", repository, digest);
}

export function tagDigest(state: Reader, repository: string, tag: string): Digest | undefined {
  return state.get<{ digest: Digest }>("SELECT digest FROM registry_tags WHERE repository = ? AND tag = ?", repository, tag)?.digest;
}

export function putTag(tx: Tx, repository: string, tag: string, digest: Digest): void {
  tx.run(
    `INSERT INTO registry_tags (repository, tag, digest, updated) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated`,
    repository,
    tag,
    digest,
    now(),
  );
}

/** Removes a tag; whether there was one. */
export function deleteTag(tx: Tx, repository: string, tag: string): boolean {
  return tx.run("DELETE FROM registry_tags WHERE repository = ? AND tag = ?", repository, tag).changes > 0;
}

/** Tags of a repository after `last`, in order. */
export function tagsAfter(state: Reader, repository: string, last: string, limit: number): string[] {
  const sql = "SELECT tag FROM registry_tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?";
  return state.all<{ tag: string }>(sql, repository, last, limit).map((row) => row.tag);
}

/** Repositories after `last`, in order: one step of the index for each, however much is in it. */
export function repositoriesAfter(state: Reader, last: string, limit: number): string[] {
  const sql = `WITH RECURSIVE names(name) AS (
      SELECT MIN(repository) FROM registry_links WHERE repository > ?
      UNION ALL
      SELECT (SELECT MIN(repository) FROM registry_links WHERE repository > name) FROM names WHERE name IS NOT NULL
    ) SELECT name FROM names WHERE name IS NOT NULL LIMIT ?`;
  return state.all<{ name: string }>(sql, last, limit).map((row) => row.name);
}

/** Whether a repository has anything that can be pulled. */
export function hasRepository(state: Reader, repository: string): boolean {
  return state.get("SELECT 1 FROM registry_links WHERE repository = ? AND kind = 'manifest' LIMIT 1", repository) !== undefined;
}

/** Whether anything was pushed to a repository. */
export function isKnownRepository(state: Reader, repository: string): boolean {
  return state.get("SELECT 1 FROM registry_links WHERE repository = ? LIMIT 1", repository) !== undefined;
}
