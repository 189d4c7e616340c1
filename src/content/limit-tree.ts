import { LighterError } from "../base/errors.ts";
import { close, must, O, openAt, readDirectory, S_IFDIR, S_IFREG } from "../linux/files.ts";
import { claimProject, enterProject, limitsProjects, projectUsage, unlimitDirectory } from "../linux/project-quota.ts";
import { type ByteString, byteString } from "../oci/tar-entry.ts";
import type { JobContext } from "./job.ts";
import { turns } from "./tree.ts";
import { HERE } from "./tree-path.ts";

/** Directories, and the bytes that they may hold together: what is in them already counts. */
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
export async function limitTreeJob({ paths, bytes }: LimitArgs, { signal }: Pick<JobContext, "signal">): Promise<void> {
  if (!limitsProjects(paths[0] ?? "/"))
    throw new LighterError(
      "unsupported",
      `Cannot limit the size of "${paths[0]}": its file system has no project quotas that are enforced (ext4 or xfs, mounted with prjquota)`,
    );
  const project = claimProject(paths[0] ?? "/", bytes);
  const turn = turns(signal);
  for (const path of paths) await enterTree(HERE, byteString(path), project, turn);
}

/** What is below first, so that a directory that counts stands for all of it. Only files and directories can. */
async function enterTree(dir: number, name: ByteString, project: number, turn: () => Promise<void>): Promise<void> {
  const fd = must(openAt(dir, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW), "openat", name);
  try {
    for (const entry of readDirectory(fd)) {
      await turn();
      if (entry.type === S_IFDIR) await enterTree(fd, entry.name, project, turn);
      else if (entry.type === S_IFREG) enterFile(fd, entry.name, project);
    }
    enterProject(fd, project, { directory: true });
  } finally {
    close(fd);
  }
}

function enterFile(dir: number, name: ByteString, project: number): void {
  const fd = must(openAt(dir, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK | O.NOCTTY), "openat", name);
  try {
    enterProject(fd, project, { directory: false });
  } finally {
    close(fd);
  }
}

/** Forgets the limit of a directory that is about to go, a few calls of the kernel; nothing there, or no limit, is fine. Throws system errors. */
export function unlimitTree(path: string): void {
  if (limitsProjects(path)) unlimitDirectory(path);
}

/** The limit of a directory, if it has one. */
export async function limitOfTreeJob({ path }: { path: string }): Promise<TreeLimit | undefined> {
  return limitsProjects(path) ? projectUsage(path) : undefined;
}
