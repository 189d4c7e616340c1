import { LighterError } from "../base/errors.ts";
import { limitDirectories, limitsProjects, projectUsage, unlimitDirectory } from "../linux/project-quota.ts";

/** Directories that are still empty, and the bytes that they may hold together. */
export interface LimitArgs {
  paths: string[];
  bytes: number;
}

/** Bytes that a limited tree holds and may hold. */
export interface TreeLimit {
  used: number;
  limit: number;
}

/** Whether trees there can be limited: the file system has project quotas, and enforces them. Does not block. */
export function canLimitTrees(path: string): boolean {
  return limitsProjects(path);
}

/** Limits directories together. Throws `unsupported` where the file system cannot. */
export async function limitTreeJob({ paths, bytes }: LimitArgs): Promise<void> {
  if (!limitsProjects(paths[0] ?? "/"))
    throw new LighterError(
      "unsupported",
      `Cannot limit the size of "${paths[0]}": its file system has no project quotas that are enforced (ext4 or xfs, mounted with prjquota)`,
    );
  limitDirectories(paths, bytes);
}

/** Forgets the limit of a directory that is about to go; nothing there, or no limit, is fine. */
export async function unlimitTreeJob({ path }: { path: string }): Promise<void> {
  if (limitsProjects(path)) unlimitDirectory(path);
}

/** The limit of a directory, if it has one. */
export async function limitOfTreeJob({ path }: { path: string }): Promise<TreeLimit | undefined> {
  return limitsProjects(path) ? projectUsage(path) : undefined;
}
