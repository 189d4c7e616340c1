import { now, type Nanoseconds } from "../base/clock.ts";
import type { Digest } from "../oci/image.ts";
import type { Reader, Tx } from "../state/state.ts";
import type { RegistryEvent } from "./notices.ts";
import { expiredTags, type TagTimes } from "./retention.ts";
import { deleteLink, deleteTag, repositoriesAfter } from "./rows.ts";
import type { RetentionRule } from "./settings.ts";

/** By which rules tags and manifests go. */
export interface PruneRules {
  rules: readonly RetentionRule[];
  /** Manifests without a tag go after so many milliseconds; undefined keeps them. */
  untagged?: number | undefined;
}

/** Tags and manifests that went, or would have. */
export interface Pruned {
  tags: { repository: string; tag: string }[];
  manifests: { repository: string; digest: string }[];
}

/** Is told of each tag and manifest that goes, in the transaction in which it goes. */
export type RecordEvent = (tx: Tx, event: RegistryEvent) => void;

/** Links of a repository that are looked at between two turns of the event loop. */
const SLICE = 250;

/** Digests after one up to another of a repository. */
export interface LinkSlice {
  repository: string;
  after: string;
  end: string;
}

/** Slices are cut one by one, so that what comes meanwhile is in them. */
export function* linkSlices(state: Reader, repository: string): Generator<LinkSlice> {
  const sql = "SELECT digest FROM registry_links WHERE repository = ? AND digest > ? ORDER BY digest LIMIT 1 OFFSET ?";
  for (let after: string | undefined = ""; after !== undefined;) {
    const end: string | undefined = state.get<{ digest: string }>(sql, repository, after, SLICE - 1)?.digest;
    yield { repository, after, end: end ?? LAST };
    after = end;
  }
}

/** Behind all digests. */
const LAST = "~";

/** One by one, so that nothing is held while each is worked on. */
export function* repositoriesOf(state: Reader): Generator<string> {
  for (let last: string | undefined = ""; last !== undefined;) {
    [last] = repositoriesAfter(state, last, 1);
    if (last !== undefined) yield last;
  }
}

/** Removes the tags that no rule holds. */
export function pruneTags(
  tx: Tx,
  repository: string,
  { rules, record }: PruneRules & { record?: RecordEvent | undefined },
): Pruned["tags"] {
  if (rules.length === 0) return [];
  const tags = expiredTags(tagsOf(tx, repository), rules, now());
  for (const { tag } of tags) {
    deleteTag(tx, repository, tag);
    record?.(tx, { action: "delete", repository, tag });
  }
  return tags.map(({ tag }) => ({ repository, tag }));
}

function tagsOf(tx: Tx, repository: string): TagTimes[] {
  return tx
    .all<{ tag: string; updated: string; pulled: string }>(
      "SELECT tag, CAST(updated AS TEXT) AS updated, CAST(pulled AS TEXT) AS pulled FROM registry_tags WHERE repository = ?",
      repository,
    )
    .map((row) => ({ repository, tag: row.tag, updated: BigInt(row.updated), pulled: BigInt(row.pulled) }));
}

/**
 * Manifests that neither a tag nor an index nor, by its subject, another manifest needs; those below an index follow it. CROSS JOIN keeps the order: from a
 * manifest to the few that name it, never through the whole repository.
 */
const UNTAGGED = `
  SELECT digest FROM registry_links AS link WHERE repository = ?1 AND digest > ?3 AND digest <= ?4 AND kind = 'manifest'
    AND MAX(created, seen, pulled) <= ?2
    AND NOT EXISTS (SELECT 1 FROM registry_tags WHERE repository = ?1 AND digest = link.digest)
    AND NOT EXISTS (
      SELECT 1 FROM blob_edges CROSS JOIN registry_links AS parent ON parent.digest = blob_edges.parent
      WHERE blob_edges.child = COALESCE(link.content, link.digest) AND parent.repository = ?1 AND parent.kind = 'manifest')
    AND NOT EXISTS (
      SELECT 1 FROM blob_edges CROSS JOIN registry_links AS parent ON parent.content = blob_edges.parent
      WHERE blob_edges.child = COALESCE(link.content, link.digest) AND parent.repository = ?1 AND parent.kind = 'manifest')
    AND NOT EXISTS (
      SELECT 1 FROM registry_referrers CROSS JOIN registry_links AS subject ON subject.digest = registry_referrers.subject
      WHERE registry_referrers.repository = ?1 AND registry_referrers.digest = link.digest AND subject.repository = ?1)`;

/** Removes manifests of a slice that nothing needs; those below an index are seen by the next look. */
export function pruneManifests(
  tx: Tx,
  { repository, after, end }: LinkSlice,
  before: Nanoseconds,
  record?: RecordEvent,
): Pruned["manifests"] {
  const found = tx.all<{ digest: Digest }>(UNTAGGED, repository, before, after, end);
  for (const { digest } of found) {
    deleteLink(tx, repository, digest);
    record?.(tx, { action: "delete", repository, digest });
  }
  return found.map(({ digest }) => ({ repository, digest }));
}

/** Removes all such manifests of a repository. */
export function pruneAll(tx: Tx, repository: string, untagged: number | undefined): Pruned["manifests"] {
  if (untagged === undefined) return [];
  const before = now() - BigInt(Math.floor(untagged)) * 1_000_000n;
  const gone: Pruned["manifests"] = [];
  for (;;) {
    const found = pruneManifests(tx, { repository, after: "", end: LAST }, before);
    if (found.length === 0) return gone;
    gone.push(...found);
  }
}
