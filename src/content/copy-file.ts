import {
  blocksOf,
  close,
  copyRange,
  type FileStat,
  must,
  nextData,
  O,
  openAt,
  readAt,
  readLinkAt,
  S_IFBLK,
  S_IFCHR,
  S_IFLNK,
  S_IFREG,
  statFd,
  truncateTo,
  unlinkAt,
  writeAt,
} from "../linux/files.ts";
import { ERRNO, systemError } from "../linux/libc.ts";
import type { ByteString, TarEntry, TarType } from "../oci/tar-entry.ts";
import { xattrsOf } from "./lower.ts";
import { applyMetadata, createFile, createSpecial, metadataOf } from "./make-entry.ts";

const BUFFER = 256 << 10;
let buffer: Uint8Array | undefined;

/**
 * Copies one entry that is not a directory, with all that belongs to it; holes stay holes. Returns its bytes on disk. The target must not exist, and does not
 * when it fails: a half would be taken for the whole by who tries again.
 */
export function copyFileAt(fromDir: number, fromName: ByteString, stat: FileStat, toDir: number, toName: ByteString): number {
  const xattrs = xattrsOf(fromDir, fromName);
  if (stat.type !== S_IFREG) {
    const entry = specialEntry(fromDir, fromName, stat, xattrs);
    const made = wholly(toDir, toName, () => createSpecial(toDir, toName, entry));
    must(made, "create", toName);
    return stat.blocks;
  }
  const from = openSame(fromDir, fromName, stat);
  let to = -1;
  try {
    to = must(createFile(toDir, toName), "openat", toName);
    return wholly(toDir, toName, () => {
      copyData(from, to, stat.size);
      applyMetadata(to, metadataOf(stat, xattrs), toName);
      return blocksOf(to);
    });
  } finally {
    close(from);
    if (to >= 0) close(to);
  }
}

/** Makes something; what an error leaves of it is removed. */
function wholly<T>(dir: number, name: ByteString, make: () => T): T {
  try {
    return make();
  } catch (error) {
    unlinkAt(dir, name);
    throw error;
  }
}

/** Opens the file that was looked at: something else put in its place meanwhile (a fifo would keep us for ever) is an error. */
function openSame(dir: number, name: ByteString, stat: FileStat): number {
  const fd = must(openAt(dir, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK | O.NOCTTY), "openat", name);
  const is = statFd(fd);
  if (typeof is !== "number" && is.type === S_IFREG && is.inode === stat.inode && is.device === stat.device) return fd;
  close(fd);
  throw systemError("open", ERRNO.ESTALE, Buffer.from(name, "latin1").toString("utf8"));
}

function specialEntry(dir: number, name: ByteString, stat: FileStat, xattrs: Map<string, Uint8Array>): TarEntry {
  const link = stat.type === S_IFLNK ? readLinkAt(dir, name) : "";
  if (typeof link === "number") must(link, "readlinkat", name);
  const type: TarType = stat.type === S_IFLNK ? "symlink" : stat.type === S_IFCHR ? "char" : stat.type === S_IFBLK ? "block" : "fifo";
  const { major, minor } = stat;
  return { ...metadataOf(stat, xattrs), type, path: name, link: String(link), user: "", group: "", size: 0, major, minor };
}

/** Copies the data of an open file into an empty one, in the kernel where it can (a reflink on file systems that share blocks). */
export function copyData(from: number, to: number, size: number): void {
  let at = 0;
  for (let run = nextData(from, at, size); run !== undefined; run = nextData(from, at, size)) {
    at = run.offset;
    const end = run.offset + run.size;
    while (at < end) {
      const copied = copyPiece(from, to, at, end - at);
      if (copied === 0) break;
      at += copied;
    }
    if (at < end) break;
  }
  must(truncateTo(to, size), "ftruncate");
}

/** Some bytes from one file into the other at the same place; 0 at the end. */
function copyPiece(from: number, to: number, offset: number, size: number): number {
  const copied = copyRange(from, offset, to, offset, Math.min(size, 1 << 30));
  if (copied >= 0) return copied;
  buffer ??= new Uint8Array(BUFFER);
  const got = must(readAt(from, buffer.subarray(0, Math.min(size, BUFFER)), offset), "read");
  must(writeAt(to, buffer.subarray(0, got), offset), "write");
  return got;
}
