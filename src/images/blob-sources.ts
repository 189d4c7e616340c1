import { now } from "../base/clock.ts";
import type { Reference } from "../base/reference.ts";
import type { Digest } from "../oci/image.ts";
import type { Reader, Tx } from "../state/state.ts";

/** How many repositories a push asks to mount a blob from. */
const ASKED = 3;

/** Notes that all blobs of an image that are here came from a repository, or are there now. */
export function noteSources(tx: Tx, { registry, repository }: Reference, image: Digest): void {
  tx.run(
    `WITH RECURSIVE reach(digest) AS (VALUES (?) UNION SELECT child FROM blob_edges JOIN reach ON parent = reach.digest)
     INSERT INTO blob_sources (digest, registry, repository, noted)
       SELECT blobs.digest, ?, ?, ? FROM reach JOIN blobs ON blobs.digest = reach.digest
     ON CONFLICT DO UPDATE SET noted = excluded.noted`,
    image,
    registry,
    repository,
    now(),
  );
}

/** Other repositories of the same registry that have a blob, the latest first. */
export function sourcesOf(state: Reader, { registry, repository }: Reference, digest: Digest): string[] {
  const sql = "SELECT repository FROM blob_sources WHERE digest = ? AND registry = ? AND repository <> ? ORDER BY noted DESC LIMIT ?";
  return state.all<{ repository: string }>(sql, digest, registry, repository, ASKED).map((row) => row.repository);
}
