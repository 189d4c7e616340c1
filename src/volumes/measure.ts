import { join } from "node:path";
import { limitOfTree, treeSize } from "../content/trees.ts";
import { isMounted } from "./local-mount.ts";
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
}

/** Measures a volume's files in a Worker; one that is mounted from elsewhere counts while it is mounted. */
export async function measureVolume(
  { name, config }: Pick<VolumeRow, "name" | "config">,
  { root, containers, signal }: { root: string; containers: number; signal?: AbortSignal },
): Promise<VolumeMeasure> {
  const data = join(root, name, "_data");
  if (config.options?.["device"] !== undefined && !isMounted(data)) return { name, bytes: 0, files: 0, containers };
  const { bytes, inodes } = await treeSize(data, { ...(signal && { signal }) });
  const limit = config.options?.["size"] === undefined ? undefined : (await limitOfTree(data))?.limit;
  return { name, bytes, files: Math.max(0, inodes - 1), ...(limit !== undefined && { limit }), containers };
}
