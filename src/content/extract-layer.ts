import { LighterError } from "../base/errors.ts";
import {
  blocksOf,
  close,
  linkAt,
  mkdirAt,
  must,
  O,
  openAt,
  openInRoot,
  readLinkAt,
  S_IFDIR,
  S_IFLNK,
  statAt,
  truncateTo,
  unlinkAt,
  writeAt,
} from "../linux/files.ts";
import { ERRNO } from "../linux/libc.ts";
import { type ByteString, type TarEntry, textOf } from "../oci/tar-entry.ts";
import type { TarSink } from "../oci/tar-read.ts";
import { whiteoutOf } from "../oci/whiteout.ts";
import { copyFileAt } from "./copy-file.ts";
import { isWhiteout, lowerLink, LowerStack, makeWhiteout, markOpaque, xattrsOf } from "./lower.ts";
import { applyMetadata, createFile, createSpecial, metadataOf, type Metadata } from "./make-entry.ts";
import { removeAt } from "./tree.ts";
import { baseOf, cleanPath, HERE, joinPath, MOST_LINKS, parentOf } from "./tree-path.ts";

/** Open parents that are kept: entries of one directory mostly follow each other. */
const MOST_OPEN = 64;

/** ext4 keeps shorter targets of links in the inode, xfs and btrfs longer ones. */
const SHORT_LINK = 60;

/** A directory of the layer: who described it, and what it hides. */
interface Directory {
  /** Absent for a parent that the archive only implies. */
  metadata?: Metadata;
  /** The time of the entry that implied it before any described it. */
  implied?: bigint;
  /** Nothing of the lower directory shows. */
  opaque: boolean;
  /** It stands where the lower one was removed: not even its metadata counts. */
  replaced: boolean;
  /** That was said after members had been put into it. */
  late?: boolean;
}

/** Thrown when the layer can only be unpacked with the layers below at hand; the caller waits for them and begins anew. */
export class NeedsLower extends Error {}

/**
 * Unpacks the members of a layer into an empty directory, as overlayfs wants it. Nobody else may write there meanwhile.
 * Every directory on the way to an entry is one that this class made itself, so that no link of the archive is ever followed by the kernel.
 * Whiteouts hide the layers below, never what the same layer brings. Directories get their metadata in `finish`.
 */
export class LayerExtractor implements TarSink {
  readonly #root: number;
  readonly #lower: LowerStack | undefined;
  readonly #directories = new Map<ByteString, Directory>();
  readonly #whiteouts = new Set<ByteString>();
  readonly #open = new Map<ByteString, number>();
  #file = -1;
  /** Bytes on disk of files, and how many inodes were made. */
  bytes = 0;
  inodes = 1;
  /** Members replaced others: the two sums have to be taken anew from the tree. */
  recount = false;

  /** `lower` is undefined while the layers below are not complete. The caller keeps `root` open. */
  constructor(root: number, lower: LowerStack | undefined) {
    this.#root = root;
    this.#lower = lower;
    this.#directories.set("", { implied: 0n, opaque: false, replaced: false });
  }

  entry(entry: TarEntry): void {
    const path = cleanPath(entry.path);
    if (path === "") {
      if (entry.type !== "directory") throw refuse(entry, "the root of a layer is a directory");
      this.#describe("", entry);
      return;
    }
    const base = baseOf(path);
    const whiteout = whiteoutOf(base);
    if (whiteout?.kind === "ignore") return;
    const parent = this.#resolve(parentOf(path), entry);
    if (whiteout?.kind === "opaque") this.#directory(parent).opaque = true;
    else if (whiteout?.kind === "remove") this.#whiteout(parent, whiteout.name);
    else if (entry.type === "directory") this.#makeDirectory(parent, base, entry);
    else if (entry.type === "file") this.#makeFile(parent, base, entry);
    else if (entry.type === "link") this.#makeLink(parent, base, entry);
    else this.#makeSpecial(parent, base, entry);
  }

  data(bytes: Uint8Array, offset: number): void {
    if (this.#file >= 0) must(writeAt(this.#file, bytes, offset), "write");
  }

  end(entry: TarEntry): void {
    if (this.#file < 0) return;
    const fd = this.#file;
    this.#file = -1;
    try {
      if (entry.spans !== undefined) must(truncateTo(fd, entry.size), "ftruncate", entry.path);
      applyMetadata(fd, entry, entry.path);
      if (entry.size > 0 || entry.xattrs !== undefined) this.bytes += blocksOf(fd);
    } finally {
      close(fd);
    }
  }

  /**
   * Once all members are there: drops whiteouts that hide nothing, gives directories their metadata.
   * False when an implied parent is a link below: then the layer has to be unpacked anew with the layers below known.
   */
  finish(lower: LowerStack): boolean {
    for (const [path, directory] of this.#directories) {
      if (directory.implied === undefined) continue;
      const found = (directory.replaced && directory.late !== true) || this.#hidden(path) ? undefined : lower.entry(path);
      if (found?.stat.type === S_IFLNK && this.#lower === undefined) return false;
      directory.metadata ??=
        found?.stat.type === S_IFDIR
          ? metadataOf(found.stat, xattrsOf(HERE, found.path))
          : { mode: 0o755, uid: 0, gid: 0, mtime: directory.implied };
    }
    for (const path of this.#whiteouts) {
      if (!this.#hidden(path) && lower.entry(path) !== undefined) continue;
      must(unlinkAt(this.#fd(parentOf(path)), baseOf(path)), "unlinkat", path);
      this.inodes--;
    }
    for (const [path, directory] of this.#directories) this.#seal(path, directory, lower);
    return true;
  }

  /** Closes what is open; the object is of no use afterwards. */
  close(): void {
    if (this.#file >= 0) close(this.#file);
    this.#file = -1;
    for (const fd of this.#open.values()) close(fd);
    this.#open.clear();
  }

  #seal(path: ByteString, directory: Directory, lower: LowerStack): void {
    const fd = must(openInRoot(this.#root, path, O.DIRECTORY | O.NOFOLLOW), "openat2", path);
    try {
      const hides = (directory.opaque || directory.replaced) && path !== "" && !lower.empty;
      if (hides) must(markOpaque(fd), "setxattr", path);
      if (directory.metadata !== undefined) applyMetadata(fd, directory.metadata, path);
      this.bytes += blocksOf(fd);
    } finally {
      close(fd);
    }
  }

  /** Whether a parent of the path hides the layers below. */
  #hidden(path: ByteString): boolean {
    for (let at = path; at !== "";) {
      at = parentOf(at);
      const directory = this.#directories.get(at);
      if (directory?.opaque === true || directory?.replaced === true) return true;
    }
    return false;
  }

  /** The real path of a directory of the layer: links are followed inside the root, what is missing is made. */
  #resolve(path: ByteString, entry: TarEntry): ByteString {
    if (this.#directories.has(path)) return path;
    let at = "";
    let links = 0;
    const todo = path.split("/");
    for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        at = parentOf(at);
        continue;
      }
      const link = this.#step(joinPath(at, part), entry);
      if (link === undefined) at = joinPath(at, part);
      else if (++links > MOST_LINKS) throw refuse(entry, "too many levels of symbolic links");
      else {
        if (link.startsWith("/")) at = "";
        todo.unshift(...link.split("/"));
      }
    }
    return at;
  }

  /** Makes sure that a directory stands at a path whose parent does; a link that stands there instead is returned. */
  #step(path: ByteString, entry: TarEntry): ByteString | undefined {
    if (this.#directories.has(path)) return undefined;
    const dir = this.#fd(parentOf(path));
    const base = baseOf(path);
    const stat = statAt(dir, base);
    if (typeof stat === "number") {
      const below = this.#lower === undefined || this.#hidden(path) ? undefined : this.#lower.entry(path);
      const link = below === undefined ? undefined : lowerLink(below);
      if (link === undefined) this.#imply(path, entry, false);
      return link;
    }
    if (stat.type === S_IFLNK) {
      const link = readLinkAt(dir, base);
      if (typeof link === "string") return link;
      must(link, "readlinkat", path);
    }
    if (!this.#whiteouts.has(path)) throw refuse(entry, `"${textOf(path)}" is not a directory`);
    this.#imply(path, entry, true);
    return undefined;
  }

  #imply(path: ByteString, entry: TarEntry, replaced: boolean): void {
    if (replaced) this.#unlink(path);
    must(mkdirAt(this.#fd(parentOf(path)), baseOf(path), 0o700), "mkdirat", path);
    this.inodes++;
    this.#directories.set(path, { implied: entry.mtime, opaque: false, replaced });
  }

  #directory(path: ByteString): Directory {
    const directory = this.#directories.get(path);
    if (directory === undefined) throw new LighterError("internal", `Cannot unpack: the directory "${textOf(path)}" was lost`);
    return directory;
  }

  /** A descriptor of one of our directories. */
  #fd(path: ByteString): number {
    if (path === "") return this.#root;
    const known = this.#open.get(path);
    if (known !== undefined) {
      // Used last, closed last: a caller may hold two of them.
      this.#open.delete(path);
      this.#open.set(path, known);
      return known;
    }
    const fd = must(openInRoot(this.#root, path, O.PATH | O.DIRECTORY | O.NOFOLLOW), "openat2", path);
    if (this.#open.size >= MOST_OPEN) {
      const [oldest] = this.#open;
      if (oldest !== undefined) {
        close(oldest[1]);
        this.#open.delete(oldest[0]);
      }
    }
    this.#open.set(path, fd);
    return fd;
  }

  #describe(path: ByteString, entry: TarEntry): void {
    this.#directory(path).metadata = entry;
  }

  #makeDirectory(parent: ByteString, base: ByteString, entry: TarEntry): void {
    const path = joinPath(parent, base);
    if (!this.#directories.has(path)) {
      const result = mkdirAt(this.#fd(parent), base, 0o700);
      const replaced = this.#whiteouts.has(path);
      if (result === -ERRNO.EEXIST) {
        this.#unlink(path);
        must(mkdirAt(this.#fd(parent), base, 0o700), "mkdirat", path);
      } else must(result, "mkdirat", path);
      this.inodes++;
      this.#directories.set(path, { opaque: false, replaced });
    }
    this.#describe(path, entry);
  }

  #makeFile(parent: ByteString, base: ByteString, entry: TarEntry): void {
    this.#file = this.#make(parent, base, entry, () => createFile(this.#fd(parent), base));
  }

  #makeSpecial(parent: ByteString, base: ByteString, entry: TarEntry): void {
    this.#make(parent, base, entry, () => createSpecial(this.#fd(parent), base, entry));
    // Short links stand in their inode, as nearly all do.
    if (entry.link.length < SHORT_LINK && entry.xattrs === undefined) return;
    const stat = statAt(this.#fd(parent), base);
    if (typeof stat !== "number") this.bytes += stat.blocks;
  }

  /** Makes an entry, in the place of an older one of the same layer if need be. */
  #make(parent: ByteString, base: ByteString, entry: TarEntry, create: () => number): number {
    let result = create();
    if (result === -ERRNO.EEXIST) {
      this.#unlink(joinPath(parent, base));
      result = create();
    }
    must(result, "create", entry.path);
    this.inodes++;
    return result;
  }

  #makeLink(parent: ByteString, base: ByteString, entry: TarEntry): void {
    const target = cleanPath(entry.link);
    const from = this.#resolve(parentOf(target), entry);
    const name = baseOf(target);
    const path = joinPath(from, name);
    if (target === "" || this.#directories.has(path)) throw refuse(entry, "a hard link cannot point at a directory");
    const own = joinPath(parent, base);
    if (path === own) return;
    if (from === own || from.startsWith(`${own}/`)) throw refuse(entry, `it takes the place of its target "${textOf(path)}"`);
    const stat = statAt(this.#fd(from), name);
    if (stat === -ERRNO.ENOENT) this.#copyUp(path, entry);
    else if (typeof stat !== "number" && isWhiteout(stat)) throw refuse(entry, `its target "${textOf(path)}" does not exist`);
    this.#make(parent, base, entry, () => linkAt(this.#fd(from), name, this.#fd(parent), base));
    this.inodes--;
  }

  /** A hard link to a file that a layer below holds: that file has to stand in this layer, too. */
  #copyUp(path: ByteString, entry: TarEntry): void {
    if (this.#lower === undefined) throw new NeedsLower();
    const below = this.#hidden(path) ? undefined : this.#lower.entry(path);
    if (below === undefined || below.stat.type === S_IFDIR) throw refuse(entry, `its target "${textOf(path)}" does not exist`);
    this.bytes += copyFileAt(HERE, below.path, below.stat, this.#fd(parentOf(path)), baseOf(path));
    this.inodes++;
  }

  #whiteout(parent: ByteString, name: ByteString): void {
    const path = joinPath(parent, name);
    const here = this.#directories.get(path);
    if (here !== undefined) {
      here.replaced = here.late = true;
      return;
    }
    const result = makeWhiteout(this.#fd(parent), name);
    if (result === -ERRNO.EEXIST) return;
    must(result, "mknodat", path);
    this.inodes++;
    this.#whiteouts.add(path);
  }

  /** Removes an entry of this layer that a later one replaces. */
  #unlink(path: ByteString): void {
    this.#whiteouts.delete(path);
    if (this.#directories.has(path)) this.#forget(path);
    removeAt(this.#fd(parentOf(path)), baseOf(path));
    this.recount = true;
  }

  #forget(path: ByteString): void {
    for (const known of [...this.#directories.keys(), ...this.#whiteouts]) {
      if (known !== path && !known.startsWith(`${path}/`)) continue;
      // Whether this parent was a link below can no longer be asked in the end.
      if (this.#directories.get(known)?.implied !== undefined && this.#lower === undefined) throw new NeedsLower();
      this.#directories.delete(known);
      this.#whiteouts.delete(known);
      const fd = this.#open.get(known);
      if (fd !== undefined) close(fd);
      this.#open.delete(known);
    }
  }
}

function refuse(entry: TarEntry, why: string): LighterError {
  return new LighterError("invalid", `Cannot unpack "${textOf(entry.path)}": ${why}`);
}

/** Opens the directory that a layer is unpacked into. */
export function openDirectory(path: ByteString): number {
  return must(openAt(HERE, path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW), "open", path);
}
