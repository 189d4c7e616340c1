import type { Digest } from "../oci/image.ts";
import type { State, Tx } from "../state/state.ts";
import { deleteLink } from "./rows.ts";

/** Evicted down to this part of the limit, so that the next blob does not evict again. */
const LOW = 0.9;
/** Manifests forgotten in one go. */
const STEP = 32;

const PROXIED = "repository IN (SELECT repository FROM registry_upstream_tags WHERE tag = '')";

/** Bytes of all that repositories of upstreams show. */
export function cachedBytes(state: Pick<State, "get">): number {
  const sql = `SELECT COALESCE(SUM(size), 0) AS bytes FROM blobs WHERE digest IN
    (SELECT COALESCE(content, digest) FROM registry_links WHERE ${PROXIED})`;
  return state.get<{ bytes: number }>(sql)?.bytes ?? 0;
}

/**
 * Forgets the manifests of upstreams that were longest not pulled, with what only they need, until the rest fits; whether any went.
 * A few at a time: requests are answered meanwhile.
 */
export async function evict(state: State, limit: number): Promise<boolean> {
  let bytes = cachedBytes(state);
  if (bytes <= limit) return false;
  let gone = false;
  while (bytes > limit * LOW) {
    const freed = state.write((tx) => evictSome(tx, bytes - limit * LOW), { durable: false });
    if (freed === undefined) break;
    gone = true;
    bytes -= freed;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return gone;
}

/** Forgets the oldest manifests, until so many bytes are free or it was a step's worth; the bytes that went, undefined when there are no manifests. */
function evictSome(tx: Tx, wanted: number): number | undefined {
  const oldest = tx.all<{ repository: string; digest: Digest }>(
    `SELECT repository, digest FROM registry_links WHERE kind = 'manifest' AND ${PROXIED} ORDER BY MAX(pulled, created), digest LIMIT ?`,
    STEP,
  );
  if (oldest.length === 0) return undefined;
  let freed = 0;
  const touched = new Set<string>();
  const hidden = (digests: Iterable<Digest>): number =>
    [...new Set(digests)].reduce((sum, digest) => sum + (tx.get<{ size: number }>(HIDDEN, digest)?.size ?? 0), 0);
  for (const { repository, digest } of oldest) {
    if (freed >= wanted) break;
    deleteLink(tx, repository, digest);
    const parts = tx.all<{ digest: Digest }>(`${PARTS} ${GONE}`, repository, digest);
    freed += hidden([digest, ...parts.map((row) => row.digest)]);
    touched.add(repository);
  }
  // And what no manifest there ever needed.
  for (const repository of touched) freed += hidden(tx.all<{ digest: Digest }>(`${LOOSE} ${GONE}`, repository).map((row) => row.digest));
  return freed;
}

/** Takes the blobs of a manifest from its repository that none of the others there needs: by the blobs' own edges, however large the repository is. */
const PARTS = `
  DELETE FROM registry_links WHERE repository = ?1 AND kind = 'blob' AND digest IN (SELECT child FROM blob_edges WHERE parent = ?2) AND NOT EXISTS (
    SELECT 1 FROM blob_edges CROSS JOIN registry_links AS parent ON parent.repository = ?1 AND parent.digest = blob_edges.parent
    WHERE blob_edges.child = registry_links.digest AND parent.kind = 'manifest')`;
/** Takes blobs from a repository that none of its manifests needs, in one look at all of it. */
const LOOSE = `
  DELETE FROM registry_links WHERE repository = ?1 AND kind = 'blob' AND digest NOT IN (
    SELECT blob_edges.child FROM registry_links AS parent CROSS JOIN blob_edges ON parent.digest = blob_edges.parent
    WHERE parent.repository = ?1 AND parent.kind = 'manifest')`;
/** Under which digests the storage has what a statement deleted. */
const GONE = "RETURNING COALESCE(content, digest) AS digest";

/** The size of content that no repository of an upstream shows any more. */
const HIDDEN = `SELECT size FROM blobs WHERE digest = ?1 AND NOT EXISTS (
  SELECT 1 FROM registry_links AS link CROSS JOIN registry_upstream_tags AS up ON up.repository = link.repository AND up.tag = ''
  WHERE link.digest = ?1)`;
