import type { Digest } from "../oci/image.ts";
import type { Reader } from "../state/state.ts";
import { findUnreached } from "./collect.ts";
import type { RootsSql } from "./content.ts";

/** What a removal of images would free, in bytes on disk. */
export interface Freed {
  /** Of what nothing reaches already. */
  before: number;
  /** Of what goes with each image, if they go in this order: what several share goes with the last of them. */
  each: number[];
}

/** Files take whole blocks. */
const BLOCK = 4096;
/** Images between two turns of the event loop. */
const AT_ONCE = 20;

const PARTS = `WITH RECURSIVE reach(digest) AS (
    SELECT ?1 UNION SELECT manifest FROM image_manifests WHERE image = ?1 UNION SELECT config FROM image_manifests WHERE image = ?1
    UNION SELECT child FROM blob_edges JOIN reach ON parent = reach.digest),
  stack(chain_id) AS (
    SELECT chain_id FROM image_manifests WHERE image = ?1
    UNION SELECT layers.parent FROM layers JOIN stack ON layers.chain_id = stack.chain_id WHERE layers.parent IS NOT NULL)
  SELECT 'blob ' || blobs.digest AS part, (size + ${BLOCK - 1}) / ${BLOCK} * ${BLOCK} AS size FROM reach JOIN blobs ON blobs.digest = reach.digest
  UNION ALL SELECT 'layer ' || layers.chain_id, size FROM stack JOIN layers ON layers.chain_id = stack.chain_id`;

/** Finds what images keep that nothing else does. Gives others their turn in between. */
export async function findFreed(state: Reader, roots: readonly RootsSql[], images: readonly Digest[]): Promise<Freed> {
  const lost = findUnreached(state, roots);
  const without = findUnreached(state, roots, { without: images });
  const free = new Set([...without.blobs.map((digest) => `blob ${digest}`), ...without.layers.map((chainId) => `layer ${chainId}`)]);
  for (const digest of lost.blobs) free.delete(`blob ${digest}`);
  for (const chainId of lost.layers) free.delete(`layer ${chainId}`);
  const last = new Map<string, { image: number; size: number }>();
  for (const [image, id] of images.entries()) {
    for (const { part, size } of state.all<{ part: string; size: number }>(PARTS, id)) if (free.has(part)) last.set(part, { image, size });
    if (image % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  const each = images.map(() => 0);
  for (const { image, size } of last.values()) each[image] = (each[image] ?? 0) + size;
  return { before: lost.bytes, each };
}
