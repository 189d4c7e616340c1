import { LighterError } from "../base/errors.ts";
import {
  chmodFd,
  chown,
  close,
  linkAt,
  mkdirAt,
  must,
  O,
  openAt,
  openInRoot,
  S_IFDIR,
  setTimes,
  statAt,
  truncateTo,
  writeAt,
} from "../linux/files.ts";
import { ERRNO } from "../linux/libc.ts";
import { type ByteString, byteString, type TarEntry, textOf } from "../oci/tar-entry.ts";
import { TarParser, type TarSink } from "../oci/tar-read.ts";
import { findInRoot, makeInRoot, openRoot, type PlaceInRoot, realPath } from "./in-root.ts";
import { archiveFault } from "./archive-fault.ts";
import { checkUnpackedSize } from "./layer-size.ts";
import { breathe, type JobContext } from "./job.ts";
import { applyMetadata, createFile, createSpecial } from "./make-entry.ts";
import { MountedRoots, type MountedSource } from "./mounted-roots.ts";
import { decompress } from "./packed-source.ts";
import { removeAt } from "./tree.ts";
import { outsideOf } from "./user-shift.ts";
import { asUser } from "../linux/as-user.ts";
import { rootOf, type UserMap } from "../linux/user-namespace.ts";
import { baseOf, cleanPath, joinPath, parentOf } from "./tree-path.ts";

/** How an archive meets what is there already. */
export interface UnpackTreeOptions {
  /** Refuse to put a directory in the place of something else, and the other way round. */
  noOverwriteDirNonDir?: boolean;
  /** Everything belongs to this user instead of to whom the archive says. */
  owner?: { uid: number; gid: number };
  /** What stands at places of the tree: what the archive has below one goes there. */
  mounts?: readonly MountedSource[];
  /** The tree is a container's with users of its own, seen from the host: owners are told as they are inside. */
  users?: UserMap;
}

/** Where to unpack, and how. */
export interface UnpackTreeArgs extends PlaceInRoot, UnpackTreeOptions {
  /** Of an archive that strangers made: how many bytes it has, and may unpack to ({@link checkUnpackedSize}); what it is, for the error. */
  bound?: { packed: number; most?: number; what: string };
}

/** Docker's text for a target that is not a directory. */
export const NOT_A_DIRECTORY = "extraction point is not a directory";

/** Unpacks an archive (plain, gzip or zstd) that comes over the line, into a directory of a root that others may be using. */
export async function unpackTreeJob(args: UnpackTreeArgs, context: JobContext): Promise<void> {
  const root = openRoot(args.root);
  try {
    const found = findInRoot(root, args.path, true);
    close(found.fd);
    if (found.stat.type !== S_IFDIR) throw new LighterError("invalid", NOT_A_DIRECTORY);
    const target = realPath(root, byteString(args.path)).slice(1);
    const extractor = new TreeExtractor(root, target, args);
    try {
      const parser = new TarParser(extractor);
      let unpacked = 0;
      for await (const chunk of decompress(received(context))) {
        unpacked += chunk.length;
        if (args.bound !== undefined) checkUnpackedSize(unpacked, args.bound.packed, args.bound.most, args.bound.what);
        parser.push(chunk);
      }
      parser.finish();
      extractor.finish();
    } catch (error) {
      throw archiveFault(error);
    } finally {
      extractor.close();
    }
  } finally {
    close(root);
  }
}

async function* received(context: JobContext): AsyncGenerator<Uint8Array> {
  for (let piece = await context.port.receive(); piece !== undefined; piece = await context.port.receive()) {
    yield piece as Uint8Array;
    await breathe(context.signal);
  }
}

/** Why a hard link cannot be made, by error number. */
const LINK_REFUSALS: Readonly<Record<number, string>> = {
  [ERRNO.ENOENT]: "does not exist",
  [ERRNO.ENOTDIR]: "does not exist",
  [ERRNO.ELOOP]: "cannot be found: too many levels of symbolic links",
  [ERRNO.EPERM]: "is a directory",
  [ERRNO.EXDEV]: "is on another file system",
};

/** Makes files as somebody who is known where they are made. */
function asKnown<T>(users: UserMap | undefined, make: () => T): T {
  return users === undefined ? make() : asUser(rootOf(users), make);
}

/**
 * Puts members into a live tree. Every look-up goes through openat2 with the root as root, so that links in the tree, of the archive, or made
 * meanwhile by a process in the container cannot lead outside; the last part of a name is never followed.
 */
class TreeExtractor implements TarSink {
  readonly #root: number;
  readonly #target: ByteString;
  readonly #options: UnpackTreeOptions;
  readonly #mounts: MountedRoots;
  readonly #directories = new Map<ByteString, TarEntry>();
  #parent: { path: ByteString; fd: number; users: UserMap | undefined } | undefined;
  #file = -1;

  constructor(root: number, target: ByteString, options: UnpackTreeOptions) {
    this.#root = root;
    this.#target = target;
    this.#options = options;
    this.#mounts = new MountedRoots(options.mounts ?? []);
  }

  entry(given: TarEntry): void {
    const path = cleanPath(given.path);
    if (path === "" || this.#mounts.stands(path)) return;
    const base = baseOf(path);
    const { users } = this.#placeOf(parentOf(path));
    const entry = this.#owned(given, users);
    const dir = this.#directory(parentOf(path));
    if (!this.#makeRoom(dir, base, path, entry)) asKnown(users, () => this.#create(dir, base, entry));
    if (entry.type === "directory") this.#describe(dir, base, path, entry);
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
      applyMetadata(fd, this.#owned(entry, this.#parent?.users), entry.path);
    } finally {
      close(fd);
    }
  }

  /** Times of directories come last: what was put into them changed them. */
  finish(): void {
    for (const [path, entry] of this.#directories) {
      const place = this.#placeOf(path);
      const fd = openInRoot(place.root, place.path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
      if (fd < 0) continue;
      setTimes(fd, entry.atime ?? entry.mtime, entry.mtime);
      close(fd);
    }
  }

  close(): void {
    if (this.#file >= 0) close(this.#file);
    this.#file = -1;
    this.#forgetParent();
    this.#mounts.close();
  }

  #owned(entry: TarEntry, users: UserMap | undefined): TarEntry {
    const { owner } = this.#options;
    const owned = owner === undefined ? entry : { ...entry, ...owner };
    return users === undefined ? owned : { ...owned, ...outsideOf(users, owned) };
  }

  #directory(path: ByteString): number {
    if (this.#parent?.path === path) return this.#parent.fd;
    this.#forgetParent();
    const place = this.#placeOf(path);
    this.#parent = { path, fd: asKnown(place.users, () => makeInRoot(place.root, place.path)), users: place.users };
    return this.#parent.fd;
  }

  /** Where a path of the archive lies: the root to look it up in, the path there, and whose numbers its files have. */
  #placeOf(path: ByteString): { root: number; path: ByteString; users: UserMap | undefined } {
    const mounted = this.#mounts.find(path);
    if (mounted !== undefined) return { root: mounted.fd, path: mounted.path, users: mounted.users };
    return { root: this.#root, path: path === "" ? this.#target : joinPath(this.#target, path), users: this.#options.users };
  }

  #forgetParent(): void {
    if (this.#parent !== undefined) close(this.#parent.fd);
    this.#parent = undefined;
  }

  /** Removes what stands in the way; true when a directory stands there that the entry only describes. */
  #makeRoom(dir: number, base: ByteString, path: ByteString, entry: TarEntry): boolean {
    const stat = statAt(dir, base);
    if (typeof stat === "number") return false;
    const isDirectory = stat.type === S_IFDIR;
    if (isDirectory && entry.type === "directory") return true;
    if (this.#options.noOverwriteDirNonDir === true && isDirectory !== (entry.type === "directory")) {
      const [old, fresh] = isDirectory ? ["directory", "non-directory"] : ["non-directory", "directory"];
      throw new LighterError("invalid", `cannot overwrite ${old} "${textOf(path)}" with ${fresh} "/${textOf(this.#target)}"`);
    }
    removeAt(dir, base);
    return false;
  }

  #create(dir: number, base: ByteString, entry: TarEntry): void {
    if (entry.type === "directory") must(mkdirAt(dir, base, 0o755), "mkdirat", entry.path);
    else if (entry.type === "file") this.#file = must(createFile(dir, base), "openat", entry.path);
    else if (entry.type === "link") this.#link(dir, base, entry);
    else must(createSpecial(dir, base, entry), "create", entry.path);
  }

  #link(dir: number, base: ByteString, entry: TarEntry): void {
    const target = cleanPath(entry.link);
    const place = this.#placeOf(parentOf(target));
    const from = openInRoot(place.root, place.path, O.PATH | O.DIRECTORY);
    const result = from < 0 ? from : linkAt(from, baseOf(target), dir, base);
    if (from >= 0) close(from);
    const why = LINK_REFUSALS[-result];
    if (why !== undefined)
      throw new LighterError("invalid", `Cannot unpack "${textOf(entry.path)}": its target "${textOf(entry.link)}" ${why}`);
    must(result, "linkat", entry.path);
  }

  #describe(dir: number, base: ByteString, path: ByteString, entry: TarEntry): void {
    const fd = must(openAt(dir, base, O.RDONLY | O.DIRECTORY | O.NOFOLLOW), "openat", path);
    try {
      must(chown(fd, entry.uid, entry.gid), "fchown", path);
      must(chmodFd(fd, entry.mode), "fchmod", path);
      if (entry.xattrs !== undefined) applyMetadata(fd, entry, path);
    } finally {
      close(fd);
    }
    this.#directories.set(path, entry);
  }
}
