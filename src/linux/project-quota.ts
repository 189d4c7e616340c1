import { ptr } from "bun:ffi";
import { randomInt } from "node:crypto";
import { closeFd, openFd } from "./fd.ts";
import { O } from "./files.ts";
import { check, ERRNO, errno, libc, systemError } from "./libc.ts";

/*
 * Limits for directories by project quotas: https://docs.kernel.org/filesystems/ext4/overview.html, quotactl(2), ioctl_xfs_fsgetxattr(2).
 * A directory carries the number of a project, which all that is made below inherits; the file system counts by number.
 */

/** From kernel 5.14 on; the older call wants a device, which a directory does not name. */
const SYS_QUOTACTL_FD = 443;
const PROJECT = 2;
const GET_STATE = 0x5805;
const GET_QUOTA = 0x800007;
const SET_QUOTA = 0x800008;
/** In the 16 bits at 2 of `fs_quota_stat`: project quotas are enforced. */
const ENFORCED = 1 << 5;
/** In `dqb_valid`: the limits of blocks count. */
const QIF_BLIMITS = 1;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const PROJECT_INHERIT = 0x200;
/** Bytes in the blocks of `dqb_bhardlimit`. */
const BLOCK = 1024n;
/** Numbers of ours: far above those that people write into /etc/projects. */
const FIRST = 0x4c00_0000;
const NUMBERS = 0x00ff_ffff;

/** Whether the file system of a directory limits projects; asks the kernel's memory only. */
export function limitsProjects(path: string): boolean {
  try {
    return withDirectory(path, (fd) => {
      const state = new Uint8Array(new ArrayBuffer(128));
      if (quota(fd, GET_STATE, 0, state) < 0) return false;
      return (new DataView(state.buffer).getUint16(2, true) & ENFORCED) !== 0;
    });
  } catch {
    return false;
  }
}

/**
 * Sets how much a directory's project may hold, and gives it one where it has none: its number, for {@link enterProject}. Throws system errors: EOPNOTSUPP
 * and ENOSYS where there are no project quotas.
 */
export function claimProject(path: string, bytes: number): number {
  const project = projectOf(path) || freeProject(path);
  withDirectory(path, (fd) => setLimit(fd, project, bytes));
  return project;
}

/** Lets an open file or directory count for a project; what is made in a directory from then on does, too. */
export function enterProject(fd: number, project: number, { directory }: { directory: boolean }): void {
  const attributes = new Uint8Array(new ArrayBuffer(28));
  check(libc().ioctl(fd, FS_IOC_FSGETXATTR, ptr(attributes)), "FS_IOC_FSGETXATTR");
  const view = new DataView(attributes.buffer);
  if (view.getUint32(12, true) === project) return;
  // ext4 refuses it for files.
  if (directory) view.setUint32(0, view.getUint32(0, true) | PROJECT_INHERIT, true);
  view.setUint32(12, project, true);
  check(libc().ioctl(fd, FS_IOC_FSSETXATTR, ptr(attributes)), "FS_IOC_FSSETXATTR");
}

/** Forgets the limit of a directory that is about to go. */
export function unlimitDirectory(path: string): void {
  const project = projectOf(path);
  if (project >= FIRST) withDirectory(path, (fd) => setLimit(fd, project, 0));
}

/** Bytes that a directory's project uses and may use; undefined for one that has no limit. */
export function projectUsage(path: string): { used: number; limit: number } | undefined {
  const project = projectOf(path);
  if (project === 0) return undefined;
  const { used, limit } = withDirectory(path, (fd) => usageOf(fd, project));
  return limit === 0 ? undefined : { used, limit };
}

function projectOf(path: string): number {
  return withDirectory(path, (fd) => {
    const attributes = new Uint8Array(new ArrayBuffer(28));
    if (libc().ioctl(fd, FS_IOC_FSGETXATTR, ptr(attributes)) < 0) return 0;
    return new DataView(attributes.buffer).getUint32(12, true);
  });
}

/** A number that nobody uses or limits: chosen by chance, so that daemons that share a file system do not meet. */
function freeProject(path: string): number {
  return withDirectory(path, (fd) => {
    for (let tries = 0; tries < 1000; tries++) {
      const project = FIRST + randomInt(NUMBERS);
      const { used, limit, inodes } = usageOf(fd, project);
      if (used === 0 && limit === 0 && inodes === 0) return project;
    }
    throw systemError("quotactl_fd", ERRNO.ENOSPC, path);
  });
}

function usageOf(fd: number, project: number): { used: number; limit: number; inodes: number } {
  const record = new BigUint64Array(new ArrayBuffer(72));
  if (quota(fd, GET_QUOTA, project, record) < 0) {
    // No record yet.
    if (errno() === ERRNO.ENOENT || errno() === ERRNO.ESRCH) return { used: 0, limit: 0, inodes: 0 };
    throw systemError("quotactl_fd", errno());
  }
  const [limit = 0n, , used = 0n, , , inodes = 0n] = record;
  return { used: Number(used), limit: Number(limit * BLOCK), inodes: Number(inodes) };
}

/** Zero for none. */
function setLimit(fd: number, project: number, bytes: number): void {
  const record = new BigUint64Array(new ArrayBuffer(72));
  const blocks = (BigInt(bytes) + BLOCK - 1n) / BLOCK;
  record[0] = blocks;
  record[1] = blocks;
  record[8] = BigInt(QIF_BLIMITS);
  check(quota(fd, SET_QUOTA, project, record), "quotactl_fd");
}

function quota(fd: number, command: number, project: number, record: BigUint64Array | Uint8Array): number | bigint {
  return libc().syscall(SYS_QUOTACTL_FD, fd, command * 256 + PROJECT, project, ptr(record), 0, 0);
}

function withDirectory<T>(path: string, use: (fd: number) => T): T {
  const fd = openFd(path, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  try {
    return use(fd);
  } finally {
    closeFd(fd);
  }
}
