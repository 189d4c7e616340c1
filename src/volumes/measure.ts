import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { limitOfTree, treeSize } from "../content/trees.ts";
import { checkAnswers, isMounted } from "./local-mount.ts";
import { isForeign } from "./mounts.ts";
import type { VolumeRow } from "./rows.ts";

/** What a volume holds. */
export interface VolumeMeasure {
  name: string;
  /** On disk, in bytes; files with several names count once. */
  bytes: number;
  /** Files, directories and links, the volume's own directory left out. */
  files: number;
  /** Bytes that it may hold; undefined for as many as fit. */
  limit?: number;
  /** How many containers have it. */
  containers: number;
  /** Why its files cannot be counted: their server does not answer. */
  unreachable?: string;
}

/**
 * Measures a volume's files in a Worker; one that is mounted from elsewhere counts while it is mounted, and says so when it cannot be reached: others are
 * told of all the same.
 */
export async function measureVolume(
  row: Pick<VolumeRow, "name" | "config">,
  options: { root: string; containers: number; signal?: AbortSignal },
): Promise<VolumeMeasure> {
  if (!isForeign(row)) return await measureTree(row, options);
  const { root, containers, signal } = options;
  const data = join(root, row.name, "_data");
  const none = { name: row.name, bytes: 0, files: 0, containers };
  if (!isMounted(data)) return none;
  try {
    await checkAnswers(row.name, data, row.config.options ?? {}, { ...(signal && { signal }) });
    return await measureTree(row, options);
  } catch (error) {
    signal?.throwIfAborted();
    return { ...none, unreachable: messageOf(error) };
  }
}

async function measureTree(
  { name, config }: Pick<VolumeRow, "name" | "config">,
  { root, containers, signal }: { root: string; containers: number; signal?: AbortSignal },
): Promise<VolumeMeasure> {
  const data = join(root, name, "_data");
  const { bytes, inodes } = await treeSize(data, { ...(signal && { signal }) });
  const limit = config.options?.["size"] === undefined ? undefined : (await limitOfTree(data))?.limit;
  return { name, bytes, files: Math.max(0, inodes - 1), ...(limit !== undefined && { limit }), containers };
}
