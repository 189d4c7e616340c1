import { findUnreached } from "../content/collect.ts";
import { reasonOf } from "../linux/lasting-worker.ts";
import { LighterError } from "../base/errors.ts";
import { Snapshot } from "../state/snapshot.ts";
import type { Reader, State } from "../state/state.ts";
import { type Pruned, pruneAll, type PruneRules, pruneTags, repositoriesOf } from "./prune.ts";
import { REGISTRY_ROOTS } from "./rows.ts";

/** Above so many links and blobs a Worker does it. */
const LARGE = 2000;

/** What a collection would take away now. */
export interface WouldGo extends Pruned {
  blobs: number;
  /** Bytes of those blobs. */
  bytes: number;
}

/** Where a dry run looks, and by which rules. */
export interface DryRunArgs extends PruneRules {
  /** The state's file. */
  path: string;
}

/** Says what a collection would take away, as of one moment; requests go on meanwhile. */
export async function dryRun(state: State, { rules, untagged }: PruneRules): Promise<WouldGo> {
  const args: DryRunArgs = { path: state.path, rules, untagged };
  return isLarge(state) ? await inWorker(args) : whatWouldGo(args);
}

function isLarge(state: Reader): boolean {
  return ["registry_links", "blobs"].some((table) => state.get(`SELECT 1 FROM ${table} LIMIT 1 OFFSET ${LARGE}`) !== undefined);
}

/** Does all of it to a copy of the registry's rows. */
export function whatWouldGo({ path, ...rules }: DryRunArgs): WouldGo {
  using snapshot = new Snapshot(path, ["registry_links", "registry_tags", "registry_referrers"]);
  const pruned: Pruned = { tags: [], manifests: [] };
  for (const repository of repositoriesOf(snapshot)) {
    pruned.tags.push(...pruneTags(snapshot.tx, repository, rules));
    pruned.manifests.push(...pruneAll(snapshot.tx, repository, rules.untagged));
  }
  const { blobs, bytes } = findUnreached(snapshot, [REGISTRY_ROOTS]);
  return { ...pruned, blobs: blobs.length, bytes };
}

async function inWorker(args: DryRunArgs): Promise<WouldGo> {
  const worker = new Worker(new URL("./dry-run.worker.ts", import.meta.url));
  const { promise, resolve, reject } = Promise.withResolvers<WouldGo>();
  const fail = (why: string): void => reject(new LighterError("internal", `The dry run came to no end: ${why}`));
  worker.addEventListener("message", ({ data }: MessageEvent<WouldGo | { failed: string }>) =>
    "failed" in data ? fail(data.failed) : resolve(data),
  );
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    fail(reasonOf(event.message));
  });
  worker.addEventListener("close", () => fail("its thread ended"));
  worker.postMessage(args);
  try {
    return await promise;
  } finally {
    worker.terminate();
  }
}
