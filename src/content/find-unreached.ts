import type { Digest } from "../oci/image.ts";
import { Snapshot } from "../state/snapshot.ts";
import { findUnreached, type Keep, type Unreached } from "./collect.ts";
import type { RootsSql } from "./content.ts";
import { findFreed, type Freed } from "./freed.ts";

/** What is looked for, and where. */
interface Look {
  /** The state's file. */
  path: string;
  roots: readonly RootsSql[];
}

/** Runs in a Worker, for `unreached` of `unreached.ts`. */
export function findUnreachedJob({ path, roots, keep }: Look & { keep: Keep }): Promise<Unreached> {
  using snapshot = new Snapshot(path);
  return Promise.resolve(findUnreached(snapshot, roots, keep));
}

/** Runs in a Worker, for `unreachedBytes`. */
export async function unreachedBytesJob(look: Look & { keep: Keep }): Promise<number> {
  return (await findUnreachedJob(look)).bytes;
}

/** Runs in a Worker, for `freedWith`. */
export async function findFreedJob({ path, roots, images }: Look & { images: readonly Digest[] }): Promise<Freed> {
  using snapshot = new Snapshot(path);
  return await findFreed(snapshot, roots, images);
}
