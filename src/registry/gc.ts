import { now } from "../base/clock.ts";
import type { State } from "../state/state.ts";
import { dryRun } from "./dry-run.ts";
import { linkSlices, type Pruned, pruneManifests, type PruneRules, pruneTags, type RecordEvent, repositoriesOf } from "./prune.ts";
import type { Storage } from "./storage.ts";

/** What a run took away, or would have. */
export interface GcReport extends Pruned {
  dryRun: boolean;
  blobs: number;
  /** Bytes of those blobs. */
  bytes: number;
}

/** What a run works on and by which rules. */
export interface GcOptions extends PruneRules {
  state: State;
  content: Storage;
  dryRun?: boolean;
  record?: RecordEvent | undefined;
}

/**
 * Applies the retention rules, then removes what nothing reaches. Pushes and pulls go on meanwhile: each step is a small transaction of its own,
 * and what is being pushed is held by leases and by the grace time of its links.
 */
export async function collectGarbage(options: GcOptions): Promise<GcReport> {
  const { state, content } = options;
  if (options.dryRun === true) return { dryRun: true, ...(await dryRun(state, options)) };
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
