import { now, type Nanoseconds } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import type { Digest } from "../oci/image.ts";
import type { State, Tx } from "../state/state.ts";
import type { RegistryEvent } from "./notices.ts";
import { expiredTags, type TagTimes } from "./retention.ts";
import { deleteLink, deleteTag } from "./rows.ts";
import type { RetentionRule } from "./settings.ts";
import type { Storage } from "./storage.ts";

/** What a run took away, or would have. */
export interface GcReport {
  dryRun: boolean;
  tags: { repository: string; tag: string }[];
  manifests: { repository: string; digest: string }[];
  blobs: number;
  /** Bytes of those blobs. */
  bytes: number;
}

/** What a run works on and by which rules. */
export interface GcOptions {
  state: State;
  content: Storage;
  rules: readonly RetentionRule[];
  /** Manifests without a tag go after so many milliseconds; undefined keeps them. */
  untagged?: number | undefined;
  dryRun?: boolean;
  /** Is told of each tag and manifest that goes, in the transaction in which it goes. */
  record?: ((tx: Tx, event: RegistryEvent) => void) | undefined;
}

type Pruned = Pick<GcReport, "tags" | "manifests">;

/**
 * Applies the retention rules, then removes what nothing reaches. Pushes and pulls go on meanwhile: a repository is pruned in one transaction,
 * and what is being pushed is held by leases and by the grace time of its links.
 */
export async function collectGarbage(options: GcOptions): Promise<GcReport> {
  if (options.dryRun === true) return dryRun(options);
  const { state, content } = options;
  const pruned: Pruned = { tags: [], manifests: [] };
  for (const repository of repositoriesOf(state)) {
    const { tags, manifests } = state.write((tx) => prune(tx, repository, options), { durable: true });
    pruned.tags.push(...tags);
    pruned.manifests.push(...manifests);
    // Requests have their turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { blobs, bytes } = await content.collect();
  state.write((tx) => void tx.run(FORGET_LOST), { durable: false });
  return { dryRun: false, ...pruned, blobs: blobs.length, bytes };
}

/** Says how long what nobody needs yet is kept (milliseconds): the query of what is needed reads it. */
export function noteGrace(state: State, grace: number): void {
  const sql = "INSERT OR REPLACE INTO settings (key, value_json) VALUES ('registry.grace', ?)";
  state.write((tx) => void tx.run(sql, String(Math.ceil(grace / 1000))), { durable: false });
}

/** Links of blobs that are gone say nothing any more. */
const FORGET_LOST = "DELETE FROM registry_links WHERE kind = 'blob' AND COALESCE(content, digest) NOT IN (SELECT digest FROM blobs)";

/** Does it all in a transaction that is given up, so that the answer is exact. */
async function dryRun(options: GcOptions): Promise<GcReport> {
  const { state, content } = options;
  const pruned: Pruned = { tags: [], manifests: [] };
  let collected: ReturnType<Storage["collect"]> | undefined;
  try {
    state.write(
      (tx) => {
        for (const repository of repositoriesOf(state)) {
          const { tags, manifests } = prune(tx, repository, { ...options, record: undefined });
          pruned.tags.push(...tags);
          pruned.manifests.push(...manifests);
        }
        // The search is done when this returns its promise.
        collected = content.collect({ dryRun: true });
        throw new GivenUp();
      },
      { durable: false },
    );
  } catch (error) {
    if (!(error instanceof GivenUp)) throw error;
  }
  const { blobs, bytes } = (await collected) ?? { blobs: [], bytes: 0 };
  return { dryRun: true, ...pruned, blobs: blobs.length, bytes };
}

class GivenUp extends LighterError {
  constructor() {
    super("cancelled", "A dry run changes nothing");
  }
}

function repositoriesOf(state: State): string[] {
  return state.all<{ repository: string }>("SELECT DISTINCT repository FROM registry_links").map((row) => row.repository);
}

function prune(tx: Tx, repository: string, { rules, untagged, record }: GcOptions): Pruned {
  const time = now();
  const tags = rules.length === 0 ? [] : expiredTags(tagsOf(tx, repository), rules, time);
  for (const { tag } of tags) {
    deleteTag(tx, repository, tag);
    record?.(tx, { action: "delete", repository, tag });
  }
  const manifests = untagged === undefined ? [] : pruneManifests(tx, repository, time - BigInt(Math.floor(untagged)) * 1_000_000n);
  for (const { digest } of manifests) record?.(tx, { action: "delete", repository, digest });
  return { tags: tags.map(({ tag }) => ({ repository, tag })), manifests };
}

function tagsOf(tx: Tx, repository: string): TagTimes[] {
  return tx
    .all<{ tag: string; updated: string; pulled: string }>(
      "SELECT tag, CAST(updated AS TEXT) AS updated, CAST(pulled AS TEXT) AS pulled FROM registry_tags WHERE repository = ?",
      repository,
    )
    .map((row) => ({ repository, tag: row.tag, updated: BigInt(row.updated), pulled: BigInt(row.pulled) }));
}

/** Manifests that neither a tag nor an index nor, by its subject, another manifest needs; those below an index follow it. */
const UNTAGGED = `
  SELECT digest FROM registry_links AS link WHERE repository = ?1 AND kind = 'manifest' AND MAX(created, seen, pulled) <= ?2
    AND NOT EXISTS (SELECT 1 FROM registry_tags WHERE repository = ?1 AND digest = link.digest)
    AND NOT EXISTS (
      SELECT 1 FROM blob_edges JOIN registry_links AS parent ON COALESCE(parent.content, parent.digest) = blob_edges.parent
      WHERE blob_edges.child = COALESCE(link.content, link.digest) AND parent.repository = ?1 AND parent.kind = 'manifest')
    AND NOT EXISTS (
      SELECT 1 FROM registry_referrers JOIN registry_links AS subject ON subject.digest = registry_referrers.subject
      WHERE registry_referrers.repository = ?1 AND registry_referrers.digest = link.digest AND subject.repository = ?1)`;

function pruneManifests(tx: Tx, repository: string, before: Nanoseconds): { repository: string; digest: string }[] {
  const gone: { repository: string; digest: string }[] = [];
  for (;;) {
    const found = tx.all<{ digest: Digest }>(UNTAGGED, repository, before);
    if (found.length === 0) return gone;
    for (const { digest } of found) {
      deleteLink(tx, repository, digest);
      gone.push({ repository, digest });
    }
  }
}
