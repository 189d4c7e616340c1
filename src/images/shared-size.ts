import type { Digest } from "../oci/image.ts";
import type { State } from "../state/state.ts";
import { unpackedLayers } from "./describe.ts";
import { allImages, manifestsOf } from "./rows.ts";

/** Bytes of each image, packed and unpacked, that other images have, too: what its removal alone would not free. */
export function sharedSizes(state: State): Map<Digest, number> {
  const parts: { image: Digest; digest: string; size: number }[] = reachedBlobs(state);
  for (const { id } of allImages(state)) {
    for (const [chainId, size] of unpackedLayers(state, manifestsOf(state, id)))
      parts.push({ image: id, digest: `layer ${chainId}`, size });
  }
  const owners = new Map<string, number>();
  for (const { digest } of parts) owners.set(digest, (owners.get(digest) ?? 0) + 1);
  const shared = new Map<Digest, number>();
  for (const { image, digest, size } of parts) {
    if ((owners.get(digest) ?? 0) > 1) shared.set(image, (shared.get(image) ?? 0) + size);
  }
  return shared;
}

/** Every blob that is here, by each image that refers to it, directly or not. */
function reachedBlobs(state: State): { image: Digest; digest: string; size: number }[] {
  const sql = `WITH RECURSIVE reach(image, digest) AS (
      SELECT id, id FROM images UNION SELECT image, child FROM blob_edges JOIN reach ON parent = reach.digest)
    SELECT image, reach.digest AS digest, size FROM reach JOIN blobs ON blobs.digest = reach.digest`;
  return state.all<{ image: Digest; digest: string; size: number }>(sql);
}
