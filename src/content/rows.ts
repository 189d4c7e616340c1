import { now } from "../base/clock.ts";
import type { Digest } from "../oci/image.ts";
import type { Reader, Tx } from "../state/state.ts";
import type { Blob } from "./content.ts";

interface BlobRow {
  digest: Digest;
  size: number;
  media_type: string;
}

/** An unpacked layer as its row has it; the directory follows from the chain id. */
export interface LayerRow {
  chain_id: Digest;
  parent: Digest | null;
  diff_id: Digest;
  size: number;
}

/** The row of a blob. */
export function findBlob(state: Reader, digest: Digest): Blob | undefined {
  const row = state.get<BlobRow>("SELECT digest, size, media_type FROM blobs WHERE digest = ?", digest);
  return row && { digest: row.digest, size: row.size, mediaType: row.media_type };
}

/** Notes a blob that is here; again is fine. */
export function insertBlob(tx: Tx, blob: Blob): void {
  tx.run(
    "INSERT INTO blobs (digest, size, media_type, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    blob.digest,
    blob.size,
    blob.mediaType,
    now(),
  );
}

/** Notes what a manifest or index refers to. */
export function insertEdges(tx: Tx, parent: Digest, children: readonly Digest[]): void {
  for (const child of children) tx.run("INSERT INTO blob_edges (parent, child) VALUES (?, ?) ON CONFLICT DO NOTHING", parent, child);
}

/** The row of an unpacked layer. */
export function findLayer(state: Reader, chainId: Digest): LayerRow | undefined {
  return state.get<LayerRow>("SELECT chain_id, parent, diff_id, size FROM layers WHERE chain_id = ?", chainId);
}

/** A layer and all below it, topmost first; shorter than expected when a row is missing. */
export function findStack(state: Reader, chainId: Digest): LayerRow[] {
  return state.all<LayerRow>(
    `WITH RECURSIVE stack(chain_id, depth) AS (
       VALUES (?, 0)
       UNION ALL
       SELECT layers.parent, depth + 1 FROM layers JOIN stack ON layers.chain_id = stack.chain_id WHERE layers.parent IS NOT NULL
     )
     SELECT layers.chain_id, parent, diff_id, size FROM stack JOIN layers ON layers.chain_id = stack.chain_id ORDER BY depth`,
    chainId,
  );
}

/** Notes that a stack is used now. */
export function touchStack(tx: Tx, chainId: Digest): void {
  tx.run(
    `WITH RECURSIVE stack(chain_id) AS (
       VALUES (?)
       UNION ALL
       SELECT layers.parent FROM layers JOIN stack ON layers.chain_id = stack.chain_id WHERE layers.parent IS NOT NULL
     )
     UPDATE layers SET last_used = ? WHERE chain_id IN (SELECT chain_id FROM stack)`,
    chainId,
    now(),
  );
}

/** Notes a layer that is unpacked and synced; its parent must be noted already. */
export function insertLayer(tx: Tx, layer: LayerRow & { inodes: number }): void {
  const time = now();
  tx.run(
    "INSERT INTO layers (chain_id, parent, diff_id, size, inodes, created, last_used) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    layer.chain_id,
    layer.parent,
    layer.diff_id,
    layer.size,
    layer.inodes,
    time,
    time,
  );
}

/** Notes which blob a layer was unpacked from. */
export function insertLayerBlob(tx: Tx, chainId: Digest, digest: Digest): void {
  tx.run("INSERT INTO layer_blobs (chain_id, digest) VALUES (?, ?) ON CONFLICT DO NOTHING", chainId, digest);
}

/** Notes a new lease. */
export function insertLease(tx: Tx, lease: { id: string; purpose: string; boot: string }): void {
  tx.run("INSERT INTO leases (id, purpose, created, boot) VALUES (?, ?, ?, ?)", lease.id, lease.purpose, now(), lease.boot);
}

/** Makes content a root for as long as the lease lives. */
export function insertLeaseItem(tx: Tx, lease: string, kind: "blob" | "layer", key: Digest): void {
  tx.run("INSERT INTO lease_items (lease, kind, key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", lease, kind, key);
}

/** Ends a lease with all its items. */
export function deleteLease(tx: Tx, id: string): void {
  tx.run("DELETE FROM leases WHERE id = ?", id);
}

/** Notes that a partial download was just worked on. */
export function touchIngest(tx: Tx, ref: string): void {
  const time = now();
  tx.run("INSERT INTO ingests (ref, updated) VALUES (?, ?) ON CONFLICT (ref) DO UPDATE SET updated = excluded.updated", ref, time);
}

/** Notes which runs of a partial download are there; null: all of its file is, without a gap. */
export function saveExtents(tx: Tx, ref: string, extents: string | null): void {
  tx.run("UPDATE ingests SET extents = ?, updated = ? WHERE ref = ?", extents, now(), ref);
}

/** What {@link saveExtents} noted last. */
export function findExtents(state: Reader, ref: string): string | undefined {
  return state.get<{ extents: string | null }>("SELECT extents FROM ingests WHERE ref = ?", ref)?.extents ?? undefined;
}

/** Forgets a partial download. */
export function deleteIngest(tx: Tx, ref: string): void {
  tx.run("DELETE FROM ingests WHERE ref = ?", ref);
}

/** Partial downloads with the time (nanoseconds) of the last work on them. */
export function allIngests(state: Reader): { ref: string; updated: bigint }[] {
  return state
    .all<{ ref: string; updated: string }>("SELECT ref, CAST(updated AS TEXT) AS updated FROM ingests")
    .map((row) => ({ ref: row.ref, updated: BigInt(row.updated) }));
}
