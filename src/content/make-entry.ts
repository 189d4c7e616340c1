import {
  type FileStat,
  chmodFd,
  chmodPath,
  chown,
  chownAt,
  close,
  mknodAt,
  must,
  O,
  openAt,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  setTimes,
  setTimesAt,
  setXattr,
  setXattrFd,
  symlinkAt,
} from "../linux/files.ts";
import { ERRNO } from "../linux/libc.ts";
import type { ByteString, TarEntry } from "../oci/tar-entry.ts";
import { OVERLAY_XATTRS } from "../oci/whiteout.ts";

/** Who files belong to and what they carry: the part of an entry that every type has. */
export type Metadata = Pick<TarEntry, "mode" | "uid" | "gid" | "mtime" | "atime" | "xattrs">;

/** Makes an empty file that must not exist yet: a descriptor for writing, or the negative error number. Nothing of it can be read by others before it is whole. */
export function createFile(dir: number, base: ByteString): number {
  return openAt(dir, base, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600);
}

/** Owner, mode, attributes and times of an open file or directory, in the order that keeps them: a change of owner drops setuid and capabilities. */
export function applyMetadata(fd: number, data: Metadata, path: ByteString): void {
  must(chown(fd, data.uid, data.gid), "fchown", path);
  must(chmodFd(fd, data.mode), "fchmod", path);
  for (const [key, value] of data.xattrs ?? []) xattrResult(ours(key) ? 0 : setXattrFd(fd, key, value), key, path);
  must(setTimes(fd, data.atime ?? data.mtime, data.mtime), "utimensat", path);
}

/** Makes a link, device or fifo with all that belongs to it; returns 0 or the negative error number of its creation (EEXIST above all). */
export function createSpecial(dir: number, base: ByteString, entry: TarEntry): number {
  const made =
    entry.type === "symlink"
      ? symlinkAt(entry.link, dir, base)
      : mknodAt(dir, base, SPECIAL_TYPES[entry.type] ?? S_IFIFO, 0, entry.major, entry.minor);
  if (made < 0) return made;
  must(chownAt(dir, base, entry.uid, entry.gid), "fchownat", entry.path);
  if (entry.type !== "symlink") chmodSpecial(dir, base, entry);
  for (const [key, value] of entry.xattrs ?? []) xattrResult(ours(key) ? 0 : setXattr(dir, base, key, value), key, entry.path);
  must(setTimesAt(dir, base, entry.atime ?? entry.mtime, entry.mtime), "utimensat", entry.path);
  return 0;
}

const SPECIAL_TYPES: Readonly<Record<string, number>> = { char: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO };

/** By a descriptor of exactly this file: fchmodat(2) would follow a link put in its place. */
function chmodSpecial(dir: number, base: ByteString, entry: TarEntry): void {
  const fd = must(openAt(dir, base, O.PATH | O.NOFOLLOW), "openat", entry.path);
  const result = chmodPath(fd, entry.mode);
  close(fd);
  must(result, "chmod", entry.path);
}

/** overlayfs' own marks come from whiteouts alone. */
function ours(key: string): boolean {
  return key.startsWith(OVERLAY_XATTRS);
}

/** A file system without attributes, or `user.` on what cannot have it, loses them silently, as with GNU tar and Docker. */
function xattrResult(result: number, key: string, path: ByteString): void {
  if (result === -ERRNO.EOPNOTSUPP || (result === -ERRNO.EPERM && !key.startsWith("security."))) return;
  must(result, `setxattr ${key}`, path);
}

/** The metadata that a file here has. */
export function metadataOf(stat: FileStat, xattrs: Map<string, Uint8Array>): Metadata {
  const { mode, uid, gid, mtime, atime } = stat;
  return { mode, uid, gid, mtime, atime, ...(xattrs.size === 0 ? {} : { xattrs }) };
}
