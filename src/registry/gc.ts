import { now, type Nanoseconds } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import type { Digest } from "../oci/image.ts";
import type { Reader, State, Tx } from "../state/state.ts";
import type { RegistryEvent } from "./notices.ts";
import { expiredTags, type TagTimes } from "./retention.ts";
import { deleteLink, deleteTag, repositoriesAfter } from "./rows.ts";
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
    pruned.tags.push(...state.write((tx) => pruneTags(tx, repository, options), { durable: true }));
    for await (const manifests of pruneInSlices(repository, options)) pruned.manifests.push(...manifests);
    await turn();
  }
  const { blobs, bytes } = await content.collect();
  await forgetLost(state);
  return { dryRun: false, ...pruned, blobs: blobs.length, bytes };
}

/** Requests have theirs. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Goes through the manifests of a repository until no look finds one to remove: what is below an index goes once that is gone. */
async function* pruneInSlices(repository: string, { state, untagged, record }: GcOptions): AsyncGenerator<Pruned["manifests"]> {
  if (untagged === undefined) return;
  const before = now() - BigInt(Math.floor(untagged)) * 1_000_000n;
  for (let found = true; found;) {
    found = false;
    for (const slice of linkSlices(state, repository)) {
      const gone = state.write((tx) => pruneManifests(tx, slice, before, record), { durable: true });
      if (gone.length > 0) found = true;
      yield gone;
      await turn();
    }
  }
}

/** Links of a repository that are looked at between two turns of the event loop. */
const SLICE = 250;

/** Digests after one up to another of a repository. */
interface LinkSlice {
  repository: string;
  after: string;
  end: string;
}

/** Slices are cut one by one, so that what comes meanwhile is in them. */
function* linkSlices(state: Reader, repository: string): Generator<LinkSlice> {
  const sql = "SELECT digest FROM registry_links WHERE repository = ? AND digest > ? ORDER BY digest LIMIT 1 OFFSET ?";
  for (let after: string | undefined = ""; after !== undefined;) {
    const end: string | undefined = state.get<{ digest: string }>(sql, repository, after, SLICE - 1)?.digest;
    yield { repository, after, end: end ?? LAST };
    after = end;
  }
}

/** Behind all digests. */
const LAST = "~";

/** Says how long what nobody needs yet is kept (milliseconds): the query of what is needed reads it. */
export function noteGrace(state: State, grace: number): void {
  const sql = "INSERT OR REPLACE INTO settings (key, value_json) VALUES ('registry.grace', ?)";
  state.write((tx) => void tx.run(sql, String(Math.ceil(grace / 1000))), { durable: false });
}

/** Links of blobs that are gone say nothing any more. */
async function forgetLost(state: State): Promise<void> {
  for (const repository of repositoriesOf(state)) {
    for (const { after, end } of linkSlices(state, repository)) {
      if (state.all(LOST, repository, after, end).length > 0)
        state.write((tx) => void tx.run(`DELETE ${LOST.slice("SELECT 1 ".length)}`, repository, after, end), { durable: false });
      await turn();
    }
  }
}

const LOST = `SELECT 1 FROM registry_links WHERE repository = ? AND digest > ? AND digest <= ? AND kind = 'blob'
  AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = COALESCE(registry_links.content, registry_links.digest))`;

/** Does it all in a transaction that is given up, so that the answer is exact. */
async function dryRun(options: GcOptions): Promise<GcReport> {
  const { state, content } = options;
  const pruned: Pruned = { tags: [], manifests: [] };
  let collected: ReturnType<Storage["collect"]> | undefined;
  try {
    state.write(
      (tx) => {
        for (const repository of repositoriesOf(state)) {
          pruned.tags.push(...pruneTags(tx, repository, { ...options, record: undefined }));
          pruned.manifests.push(...pruneAll(tx, repository, options.untagged));
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

/** One by one, so that nothing is held while each is worked on. */
function* repositoriesOf(state: Reader): Generator<string> {
  for (let last: string | undefined = ""; last !== undefined;) {
    [last] = repositoriesAfter(state, last, 1);
    if (last !== undefined) yield last;
  }
}

function pruneTags(tx: Tx, repository: string, { rules, record }: GcOptions): Pruned["tags"] {
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

/** Manifests that neither a tag nor an index nor, by its subject, another manifest needs; those below an index follow it. */
const UNTAGGED = `
  SELECT digest FROM registry_links AS link WHERE repository = ?1 AND digest > ?3 AND digest <= ?4 AND kind = 'manifest'
    AND MAX(created, seen, pulled) <= ?2
    AND NOT EXISTS (SELECT 1 FROM registry_tags WHERE repository = ?1 AND digest = link.digest)
    AND NOT EXISTS (
      SELECT 1 FROM blob_edges JOIN registry_links AS parent ON COALESCE(parent.content, parent.digest) = blob_edges.parent
      WHERE blob_edges.child = COALESCE(link.content, link.digest) AND parent.repository = ?1 AND parent.kind = 'manifest')
    AND NOT EXISTS (
      SELECT 1 FROM registry_referrers JOIN registry_links AS subject ON subject.digest = registry_referrers.subject
      WHERE registry_referrers.repository = ?1 AND registry_referrers.digest = link.digest AND subject.repository = ?1)`;

function pruneManifests(
  tx: Tx,
  { repository, after, end }: LinkSlice,
  before: Nanoseconds,
  record: GcOptions["record"],
): Pruned["manifests"] {
  const found = tx.all<{ digest: Digest }>(UNTAGGED, repository, before, after, end);
  for (const { digest } of found) {
    deleteLink(tx, repository, digest);
    record?.(tx, { action: "delete", repository, digest });
  }
  return found.map(({ digest }) => ({ repository, digest }));
}

/** The same in one transaction. */
function pruneAll(tx: Tx, repository: string, untagged: number | undefined): Pruned["manifests"] {
  if (untagged === undefined) return [];
  const before = now() - BigInt(Math.floor(untagged)) * 1_000_000n;
  const gone: Pruned["manifests"] = [];
  for (;;) {
    const found = pruneManifests(tx, { repository, after: "", end: LAST }, before, undefined);
    if (found.length === 0) return gone;
    gone.push(...found);
  }
}
