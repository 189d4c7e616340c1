import {
  type FileStat,
  getXattr,
  listXattrs,
  mknodAt,
  readLinkAt,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFSOCK,
  setTimesAt,
  setXattrFd,
  statAt,
} from "../linux/files.ts";
import { ERRNO } from "../linux/libc.ts";
import { type ByteString, byteString } from "../oci/tar-entry.ts";
import { OPAQUE_WHITEOUT, OVERLAY_OPAQUE, OVERLAY_XATTRS } from "../oci/whiteout.ts";
import { HERE, joinPath, parentOf, baseOf } from "./tree-path.ts";

/** What stands at a path of the merged lower layers: which layer shows it, and what it is there. */
export interface LowerEntry {
  /** Absolute path of the topmost one. */
  path: ByteString;
  stat: FileStat;
}

/** overlayfs' view of a stack of layer directories, topmost first, by plain look-ups: nothing is mounted. Links are never followed. */
export class LowerStack {
  readonly #layers: readonly ByteString[];
  /** For a path that is a directory in the view: the directories that are merged in it. */
  readonly #merged = new Map<ByteString, readonly ByteString[]>();

  constructor(directories: readonly string[]) {
    this.#layers = directories.map(byteString);
  }

  get empty(): boolean {
    return this.#layers.length === 0;
  }

  /** What the view shows at a clean path without links in its parents; undefined for nothing. */
  entry(path: ByteString): LowerEntry | undefined {
    if (path === "") return this.#top(this.#layers[0]);
    for (const directory of this.directories(parentOf(path))) {
      const found = joinPath(directory, baseOf(path));
      const stat = statAt(HERE, found);
      if (typeof stat === "number") continue;
      return isWhiteout(stat) ? undefined : { path: found, stat };
    }
    return undefined;
  }

  /** The directories merged at a path, topmost first; none when the view shows no directory there. */
  directories(path: ByteString): readonly ByteString[] {
    if (path === "") return this.#layers;
    const known = this.#merged.get(path);
    if (known !== undefined) return known;
    const merged: ByteString[] = [];
    for (const directory of this.directories(parentOf(path))) {
      const found = joinPath(directory, baseOf(path));
      const stat = statAt(HERE, found);
      if (typeof stat === "number") continue;
      if (stat.type !== S_IFDIR) break;
      merged.push(found);
      if (isOpaque(found)) break;
    }
    this.#merged.set(path, merged);
    return merged;
  }

  #top(directory: ByteString | undefined): LowerEntry | undefined {
    if (directory === undefined) return undefined;
    const stat = statAt(HERE, directory);
    return typeof stat === "number" ? undefined : { path: directory, stat };
  }
}

/**
 * overlayfs' mark for "nothing here", a character device 0/0, or what stands in for it where the file system takes none:
 * a socket that nobody may use and that is of no time.
 */
export function isWhiteout(stat: FileStat): boolean {
  if (stat.type === S_IFSOCK) return stat.mode === 0 && stat.mtime === 0n;
  return stat.type === S_IFCHR && stat.major === 0 && stat.minor === 0;
}

/** Makes such a mark; returns 0 or the negative error number (EEXIST above all). */
export function makeWhiteout(dir: number, name: ByteString): number {
  const made = mknodAt(dir, name, S_IFCHR, 0, 0, 0);
  if (made === 0 || made === -ERRNO.EEXIST || made === -ERRNO.ENOSPC) return made;
  // An archive never brings a socket: no other entry of a layer can be taken for it.
  const stand = mknodAt(dir, name, S_IFSOCK, 0, 0, 0);
  return stand < 0 ? stand : setTimesAt(dir, name, 0n, 0n);
}

/** Marks a directory that hides the layers below: by overlayfs' attribute, or by a mark in it where the file system keeps none. */
export function markOpaque(fd: number): number {
  const set = setXattrFd(fd, OVERLAY_OPAQUE, YES);
  return set === 0 || set === -ERRNO.ENOSPC ? set : makeWhiteout(fd, OPAQUE_WHITEOUT);
}

const YES = Buffer.from("y");

/** Whether a directory hides what the layers below have under its name. */
export function isOpaque(directory: ByteString): boolean {
  const value = getXattr(HERE, directory, OVERLAY_OPAQUE);
  if (value !== undefined) return value.length === 1 && value[0] === 0x79;
  const mark = statAt(HERE, `${directory}/${OPAQUE_WHITEOUT}`);
  return typeof mark !== "number" && isWhiteout(mark);
}

/** The target of an entry that is a symbolic link. */
export function lowerLink(entry: LowerEntry): ByteString | undefined {
  if (entry.stat.type !== S_IFLNK) return undefined;
  const link = readLinkAt(HERE, entry.path);
  return typeof link === "number" ? undefined : link;
}

/** All extended attributes of an entry but overlayfs' own. */
export function xattrsOf(dir: number, name: ByteString): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const key of listXattrs(dir, name)) {
    if (key.startsWith(OVERLAY_XATTRS)) continue;
    const value = getXattr(dir, name, key);
    if (value !== undefined) found.set(key, value);
  }
  return found;
}
