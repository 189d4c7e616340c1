import type { Digest } from "../oci/image.ts";
import type { Reader, Tx } from "../state/state.ts";
import type { RootsSql } from "./content.ts";

/** Blobs that are looked at between two turns of the event loop: a few milliseconds. */
const SLICE = 250;

/** A blob whose row is gone. */
interface Lost {
  digest: Digest;
  size: number;
}

/** What a sweep works on. */
export interface SweepOptions {
  state: Reader & { write<T>(change: (tx: Tx) => T, options: { durable: boolean }): T };
  roots: readonly RootsSql[];
  /** Is told in the transaction that forgets blobs. */
  forget?: (tx: Tx, digests: readonly Digest[]) => void;
  /** Is told right after it, before anybody else has a turn. */
  forgotten?: (digests: readonly Digest[]) => void;
}

/**
 * Forgets all blobs that nothing needs, a slice of the store after the other, so that requests go on however large it is. No slice believes what was seen
 * before a turn of others: a blob goes when at that moment nothing wants it for itself and no blob that is here refers to it. What goes takes its own
 * references along, and what those were for is looked at again: a manifest goes before its layers, never after them.
 */
export async function sweepBlobs(options: SweepOptions): Promise<{ bytes: number; blobs: Digest[] }> {
  const found: { bytes: number; blobs: Digest[] } = { bytes: 0, blobs: [] };
  /** What lost something that referred to it. */
  const loose: Digest[] = [];
  for (let after: string | undefined = ""; ;) {
    let free: Lost[];
    if (loose.length > 0 || after === undefined) free = findFree(options, loose.splice(0, SLICE));
    else {
      const end = sliceEnd(options.state, after);
      free = findFreeBetween(options, after, end);
      after = end;
    }
    for (const { digest, size } of free.length === 0 ? [] : forget(options, free, loose)) {
      found.blobs.push(digest);
      found.bytes += size;
    }
    if (loose.length === 0 && after === undefined) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Behind all digests. */
const LAST = "~";

function sliceEnd(state: Reader, after: string): string | undefined {
  return state.get<{ digest: string }>("SELECT digest FROM blobs WHERE digest > ? ORDER BY digest LIMIT 1 OFFSET ?", after, SLICE - 1)
    ?.digest;
}

/** Forgets blobs and, as far as a slice has room, what only they needed; the rest of that is loose. */
function forget(options: SweepOptions, free: readonly Lost[], loose: Digest[]): Lost[] {
  const lost: Lost[] = [];
  // On disk before the files go: after a power cut no row may name what is not there.
  options.state.write(
    (tx) => {
      for (let next = free; next.length > 0;) {
        lost.push(...next);
        loose.push(...forgetRows(tx, next));
        next = findFree({ state: tx, roots: options.roots }, loose.splice(0, Math.max(0, SLICE - lost.length)));
      }
      options.forget?.(tx, digestsOf(lost));
    },
    { durable: true },
  );
  options.forgotten?.(digestsOf(lost));
  return lost;
}

function digestsOf(lost: readonly Lost[]): Digest[] {
  return lost.map(({ digest }) => digest);
}

/** What the forgotten ones referred to. */
function forgetRows(tx: Tx, lost: readonly Lost[]): Digest[] {
  const children = childrenOf(tx, digestsOf(lost));
  for (const digest of digestsOf(lost)) tx.run("DELETE FROM blobs WHERE digest = ?", digest);
  return children;
}

function childrenOf(state: Reader, parents: readonly Digest[]): Digest[] {
  const sql = "SELECT DISTINCT child FROM blob_edges WHERE parent IN (SELECT value FROM json_each(?))";
  return state.all<{ child: Digest }>(sql, JSON.stringify(parents)).map(({ child }) => child);
}

type Look = Pick<SweepOptions, "roots"> & { state: Reader };

function findFree({ state, roots }: Look, among: readonly Digest[]): Lost[] {
  const sql = `SELECT digest, size FROM blobs WHERE digest IN (SELECT value FROM json_each(?)) AND ${freeSql(roots)}`;
  return state.all<Lost>(sql, JSON.stringify(among));
}

function findFreeBetween({ state, roots }: Look, after: string, end: string | undefined): Lost[] {
  return state.all<Lost>(`SELECT digest, size FROM blobs WHERE digest > ? AND digest <= ? AND ${freeSql(roots)}`, after, end ?? LAST);
}

/** What is true of a blob that nothing needs: the edges of a blob go with it, so that each of them is a need. The same roots as in `collect.ts`. */
function freeSql(roots: readonly RootsSql[]): string {
  const held = roots.flatMap(({ blobs, holds }) => holds ?? (blobs === undefined ? [] : `blobs.digest IN (${blobs})`));
  return [
    "NOT EXISTS (SELECT 1 FROM blob_edges WHERE child = blobs.digest)",
    "NOT EXISTS (SELECT 1 FROM images WHERE id = blobs.digest)",
    "NOT EXISTS (SELECT 1 FROM image_manifests WHERE manifest = blobs.digest)",
    "NOT EXISTS (SELECT 1 FROM image_manifests WHERE config = blobs.digest)",
    "blobs.digest NOT IN (SELECT image FROM containers WHERE image IS NOT NULL)",
    "blobs.digest NOT IN (SELECT manifest FROM containers WHERE manifest IS NOT NULL)",
    "blobs.digest NOT IN (SELECT key FROM lease_items WHERE kind = 'blob')",
    ...held.map((condition) => `NOT (${condition})`),
  ].join(" AND ");
}
