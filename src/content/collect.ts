import type { Digest } from "../oci/image.ts";
import type { Reader } from "../state/state.ts";
import type { RootsSql } from "./content.ts";

/** What nothing reaches any more. */
export interface Unreached {
  bytes: number;
  blobs: Digest[];
  layers: Digest[];
}

/** Which images count as roots: all, those that a container uses (what a prune of unused images would leave), or all but some. */
export type Keep = "all images" | "used images" | { without: readonly Digest[] };

/** The condition on an image's id. */
function kept(keep: Keep, column: string): string {
  if (keep === "all images") return "";
  if (keep === "used images") return `WHERE ${column} IN (SELECT image FROM containers)`;
  return `WHERE ${column} NOT IN (${keep.without.map((digest) => `'${digest}'`).join(",")})`;
}

/** Blobs that are wanted for themselves; the parts of an image follow over `blob_edges`. */
function blobRoots(keep: Keep): string[] {
  const [ids, members] = [kept(keep, "id"), kept(keep, "image")];
  return [
    `SELECT id FROM images ${ids}`,
    `SELECT manifest FROM image_manifests ${members}`,
    `SELECT config FROM image_manifests ${members}`,
    "SELECT image FROM containers",
    "SELECT manifest FROM containers",
    "SELECT key FROM lease_items WHERE kind = 'blob'",
  ];
}

/** Layers that are wanted for themselves; those below follow over `layers.parent`. */
function layerRoots(keep: Keep): string[] {
  return [
    `SELECT chain_id FROM image_manifests ${kept(keep, "image")}`,
    "SELECT chain_id FROM containers WHERE chain_id IS NOT NULL",
    "SELECT key FROM lease_items WHERE kind = 'layer'",
  ];
}

/** Finds blobs and layers that no root reaches: one walk over the graph in SQL. */
export function findUnreached(state: Reader, roots: readonly RootsSql[], keep: Keep = "all images"): Unreached {
  const wantedBlobs = [...blobRoots(keep), ...roots.flatMap(({ blobs }) => (blobs === undefined ? [] : [blobs]))];
  const blobs = state.all<{ digest: Digest; size: number }>(
    `WITH RECURSIVE reached(digest) AS (
       SELECT * FROM (${wantedBlobs.join(" UNION ")})
       UNION
       SELECT blob_edges.child FROM blob_edges JOIN reached ON blob_edges.parent = reached.digest
     )
     SELECT digest, size FROM blobs WHERE digest NOT IN (SELECT digest FROM reached WHERE digest IS NOT NULL)`,
  );
  const layers = findUnreachedLayers(state, roots, keep);
  const bytes = [...blobs, ...layers].reduce((sum, { size }) => sum + size, 0);
  return { bytes, blobs: blobs.map(({ digest }) => digest), layers: layers.map(({ chain_id }) => chain_id) };
}

/** The layers alone. Children come before their parents: rows refer to the parent's row. */
export function findUnreachedLayers(
  state: Reader,
  roots: readonly RootsSql[],
  keep: Keep = "all images",
): { chain_id: Digest; size: number }[] {
  const wantedLayers = [...layerRoots(keep), ...roots.flatMap(({ layers }) => (layers === undefined ? [] : [layers]))];
  return state.all<{ chain_id: Digest; size: number }>(
    `WITH RECURSIVE reached(chain_id) AS (
       SELECT * FROM (${wantedLayers.join(" UNION ")})
       UNION
       SELECT layers.parent FROM layers JOIN reached ON layers.chain_id = reached.chain_id WHERE layers.parent IS NOT NULL
     ),
     lost AS (SELECT chain_id, parent, size FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM reached WHERE chain_id IS NOT NULL)),
     ordered(chain_id, size, depth) AS (
       SELECT chain_id, size, 0 FROM lost WHERE parent IS NULL OR parent NOT IN (SELECT chain_id FROM lost)
       UNION ALL
       SELECT lost.chain_id, lost.size, depth + 1 FROM lost JOIN ordered ON lost.parent = ordered.chain_id
     )
     SELECT chain_id, size FROM ordered ORDER BY depth DESC`,
  );
}
