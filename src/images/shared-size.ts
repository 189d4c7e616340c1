import type { Digest } from "../oci/image.ts";
import type { State } from "../state/state.ts";
import { unpackedLayers } from "./describe.ts";
import { allImages, manifestsOf } from "./rows.ts";

/** Images between two turns of the event loop. */
const AT_ONCE = 20;

/** Bytes of each image, packed and unpacked, that other images have, too: what its removal alone would not free. Gives others their turn in between. */
export async function sharedSizes(state: State): Promise<Map<Digest, number>> {
  const parts: { image: Digest; digest: string; size: number }[] = [];
  for (const [index, { id }] of allImages(state).entries()) {
    for (const part of reachedBlobs(state, id)) parts.push({ image: id, ...part });
    for (const [chainId, size] of unpackedLayers(state, manifestsOf(state, id)))
      parts.push({ image: id, digest: `layer ${chainId}`, size });
    if (index % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  const owners = new Map<string, number>();
  for (const { digest } of parts) owners.set(digest, (owners.get(digest) ?? 0) + 1);
  const shared = new Map<Digest, number>();
  for (const { image, digest, size } of parts) {
    if ((owners.get(digest) ?? 0) > 1) shared.set(image, (shared.get(image) ?? 0) + size);
  }
  return shared;
}

/** Every blob that is here and that an image refers to, directly or not. */
function reachedBlobs(state: State, image: Digest): { digest: string; size: number }[] {
  const sql = `WITH RECURSIVE reach(digest) AS (SELECT ?1 UNION SELECT child FROM blob_edges JOIN reach ON parent = reach.digest)
    SELECT reach.digest AS digest, size FROM reach JOIN blobs ON blobs.digest = reach.digest`;
  return state.all<{ digest: string; size: number }>(sql, image);
}
