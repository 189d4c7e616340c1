import type { Digest } from "../oci/image.ts";
import { findUnreached, type Keep, type Unreached } from "./collect.ts";
import type { ContentOptions } from "./content.ts";
import { findFreed, type Freed } from "./freed.ts";
import { runJob } from "./pool.ts";

/** With more blobs than this a look at all of them takes long enough to be another thread's work. */
const MANY = 2000;

/** Finds what no root reaches, as of one moment; in a store of many blobs by another thread. */
export async function unreached({ state, roots = [] }: ContentOptions, keep: Keep = "all images"): Promise<Unreached> {
  if (!isLarge(state)) return findUnreached(state, roots, keep);
  return await runJob("findUnreached", { path: state.path, roots, keep }, { apart: "rows" });
}

/** The bytes of it alone. */
export async function unreachedBytes({ state, roots = [] }: ContentOptions, keep: Keep = "all images"): Promise<number> {
  if (!isLarge(state)) return findUnreached(state, roots, keep).bytes;
  return await runJob("unreachedBytes", { path: state.path, roots, keep }, { apart: "rows" });
}

/** As `findFreed`; in a store of many blobs by another thread. */
export async function freedWith({ state, roots = [] }: ContentOptions, images: readonly Digest[]): Promise<Freed> {
  if (!isLarge(state)) return await findFreed(state, roots, images);
  return await runJob("findFreed", { path: state.path, roots, images }, { apart: "rows" });
}

function isLarge(state: ContentOptions["state"]): boolean {
  return state.get(`SELECT 1 FROM blobs LIMIT 1 OFFSET ${MANY}`) !== undefined;
}
