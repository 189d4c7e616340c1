import type { Digest } from "../oci/image.ts";
import type { State, Tx } from "../state/state.ts";
import { deleteLink } from "./rows.ts";

/** Evicted down to this part of the limit, so that the next blob does not evict again. */
const LOW = 0.9;

const PROXIED = "repository IN (SELECT repository FROM registry_upstream_tags WHERE tag = '')";

/** Bytes of all that repositories of upstreams show. */
export function cachedBytes(state: Pick<State, "get">): number {
  const sql = `SELECT COALESCE(SUM(size), 0) AS bytes FROM blobs WHERE digest IN
    (SELECT COALESCE(content, digest) FROM registry_links WHERE ${PROXIED})`;
  return state.get<{ bytes: number }>(sql)?.bytes ?? 0;
}

/** Forgets the manifests of upstreams that were longest not pulled, with what only they need, until the rest fits; whether any went. */
export function evict(state: State, limit: number): boolean {
  if (cachedBytes(state) <= limit) return false;
  return state.write((tx) => evictDownTo(tx, limit * LOW), { durable: false });
}

function evictDownTo(tx: Tx, bytes: number): boolean {
  let gone = false;
  while (cachedBytes(tx) > bytes) {
    const oldest = tx.get<{ repository: string; digest: Digest }>(
      `SELECT repository, digest FROM registry_links WHERE kind = 'manifest' AND ${PROXIED} ORDER BY MAX(pulled, created), digest LIMIT 1`,
    );
    if (oldest === undefined) return gone;
    deleteLink(tx, oldest.repository, oldest.digest);
    tx.run(LOOSE, oldest.repository);
    gone = true;
  }
  return gone;
}

/** Blobs of a repository that none of its manifests needs. */
const LOOSE = `
  DELETE FROM registry_links WHERE repository = ?1 AND kind = 'blob' AND digest NOT IN (
    SELECT blob_edges.child FROM blob_edges JOIN registry_links AS parent ON parent.digest = blob_edges.parent
    WHERE parent.repository = ?1 AND parent.kind = 'manifest')`;
