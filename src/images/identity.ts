import type { Digest } from "../oci/image.ts";
import type { Reader } from "../state/state.ts";
import type { Identity } from "../wire/engine-api.ts";

/** Where an image, or one of its manifests, is known to come from: the repositories it was pulled from or pushed to. Undefined where nothing is known. */
export function identityOf(state: Reader, digest: Digest): Identity | undefined {
  const sql = "SELECT DISTINCT registry || '/' || repository AS name FROM blob_sources WHERE digest = ? ORDER BY name";
  const rows = state.all<{ name: string }>(sql, digest);
  return rows.length === 0 ? undefined : { Pull: rows.map(({ name }) => ({ Repository: name })) };
}
