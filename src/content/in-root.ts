import { LighterError } from "../base/errors.ts";
import { close, type FileStat, mkdirAt, must, O, openAt, openInRoot, readLinkAt, S_IFLNK, statFd } from "../linux/files.ts";
import { ERRNO } from "../linux/libc.ts";
import { type ByteString, byteString, pathText, textOf } from "../oci/tar-entry.ts";
import { baseOf, HERE, joinPath, MOST_LINKS, parentOf } from "./tree-path.ts";

/**
 * A place below a root: the root is any directory path, `/proc/<pid>/root` of a running container, or `/proc/self/fd/<n>`.
 * The path is looked up as a process with that root would do it, links and `..` included, and never leaves it.
 */
export interface PlaceInRoot {
  root: string;
  path: string;
}

/** Opens the root itself, for look-ups. */
export function openRoot(root: string): number {
  return must(openAt(HERE, byteString(root), O.PATH | O.DIRECTORY), "open", byteString(root));
}

/** Something found below a root. The caller closes `fd`, an O_PATH descriptor of exactly this inode. */
export interface Found {
  fd: number;
  stat: FileStat;
  /** The last part of its path; "" for the root itself. */
  base: ByteString;
}

/** Finds what a path means; a link at its end is followed with `follow`, or when the path ends in `/` or `/.`. Throws `not-found`. */
export function findInRoot(root: number, path: string, follow = false): Found {
  const name = byteString(path);
  const whole = /(^|\/)\.{0,2}$/.test(name);
  const bare = name.replace(/\/+$/, "");
  const flags = O.PATH | (follow || whole ? 0 : O.NOFOLLOW) | (whole ? O.DIRECTORY : 0);
  const fd = openInRoot(root, name, flags);
  if (fd < 0) throw missing(path, fd);
  const stat = statFd(fd);
  if (typeof stat === "number") {
    close(fd);
    throw missing(path, stat);
  }
  const base = baseOf(bare);
  return { fd, stat, base: base === "." || base === ".." ? "" : base };
}

function missing(path: string, result: number): unknown {
  if (result === -ERRNO.ENOENT) return new LighterError("not-found", `lstat ${path}: no such file or directory`);
  if (result === -ERRNO.ENOTDIR) return new LighterError("invalid", `lstat ${path}: not a directory`);
  if (result === -ERRNO.ELOOP) return new LighterError("invalid", `lstat ${path}: too many levels of symbolic links`);
  try {
    return must(result, "openat2", byteString(path));
  } catch (error) {
    return error;
  }
}

/** Opens the directory for look-ups; one that does not exist is made, with its parents (root's, 0755). Throws for what is not a directory. */
export function makeInRoot(root: number, path: ByteString): number {
  const found = openInRoot(root, path, O.PATH | O.DIRECTORY);
  if (found !== -ERRNO.ENOENT || path === "") return must(found, "openat2", path);
  const parent = makeInRoot(root, parentOf(path));
  try {
    const base = baseOf(path);
    // A dangling link stands there, or another process was quicker.
    const made = base === "" ? 0 : mkdirAt(parent, base, 0o755);
    if (made !== -ERRNO.EEXIST) must(made, "mkdirat", path);
    return must(openInRoot(root, path, O.PATH | O.DIRECTORY), "openat2", path);
  } finally {
    close(parent);
  }
}

/** The path that links lead to inside of the root, whether or not anything is there. Absolute. */
export function realPath(root: number, path: ByteString): ByteString {
  let at = "";
  let links = 0;
  const todo = path.split("/");
  for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      at = parentOf(at);
      continue;
    }
    const link = links < MOST_LINKS ? linkIn(root, at, part) : undefined;
    if (link === undefined) at = joinPath(at, part);
    else {
      links++;
      if (link.startsWith("/")) at = "";
      todo.unshift(...link.split("/"));
    }
  }
  return `/${at}`;
}

function linkIn(root: number, parent: ByteString, base: ByteString): ByteString | undefined {
  const dir = openInRoot(root, parent, O.PATH | O.DIRECTORY);
  if (dir < 0) return undefined;
  const link = readLinkAt(dir, base);
  close(dir);
  return typeof link === "number" ? undefined : link;
}

/** What `docker cp` asks before it copies. */
export interface PathStat {
  name: string;
  size: number;
  /** Type and permission bits, as stat(2) has them. */
  mode: number;
  /** Nanoseconds since the epoch. */
  mtime: bigint;
  /** Where a symbolic link leads, absolute, inside of the root; empty for other things. */
  linkTarget: string;
}

/** Looks a path up without following a link at its end. */
export async function statPathJob(args: PlaceInRoot): Promise<PathStat> {
  const root = openRoot(args.root);
  try {
    const { fd, stat, base } = findInRoot(root, args.path);
    close(fd);
    const linkTarget = stat.type === S_IFLNK ? textOf(realPath(root, byteString(args.path))) : "";
    return { name: base === "" ? "/" : pathText(base), size: stat.size, mode: stat.type | stat.mode, mtime: stat.mtime, linkTarget };
  } finally {
    close(root);
  }
}
