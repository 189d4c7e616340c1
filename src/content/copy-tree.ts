import {
  close,
  type FileStat,
  linkAt,
  mkdirAt,
  must,
  O,
  openAt,
  openInRoot,
  readDirectory,
  S_IFDIR,
  S_IFSOCK,
  statAt,
  statFd,
} from "../linux/files.ts";
import { ERRNO } from "../linux/libc.ts";
import { type ByteString, byteString } from "../oci/tar-entry.ts";
import { LighterError } from "../base/errors.ts";
import { copyFileAt } from "./copy-file.ts";
import { findInRoot, openRoot, type PlaceInRoot } from "./in-root.ts";
import type { JobContext } from "./job.ts";
import { xattrsOf } from "./lower.ts";
import { applyMetadata, metadataOf } from "./make-entry.ts";
import { turns } from "./tree.ts";
import type { UserMap } from "../linux/user-namespace.ts";
import { hostOwnerOf } from "./user-shift.ts";
import { baseOf, HERE, parentOf } from "./tree-path.ts";

/** Where to copy from and to. */
export interface CopyArgs extends PlaceInRoot {
  /** An existing directory, by its absolute path. */
  target: string;
  /** What belongs to the one is given to the other; all else keeps its owner, or with `users` gets the host's numbers of its own. */
  owners?: { from: Owner; to: Owner; users?: UserMap };
}

/** A user and a group by their numbers. */
export interface Owner {
  uid: number;
  gid: number;
}

/**
 * Copies what is in a directory of a root into another directory, which also takes its owner, mode, attributes and times.
 * Hard links stay links, holes stay holes, sockets are left out. False when the source is not there or no directory. What exists in the target is left.
 */
export async function copyTreeJob(args: CopyArgs, context: JobContext): Promise<boolean> {
  const root = openRoot(args.root);
  try {
    const found = findDirectory(root, args.path);
    if (found === undefined) return false;
    const target = openAt(HERE, byteString(args.target), O.RDONLY | O.DIRECTORY);
    try {
      must(target, "open", byteString(args.target));
      const copy = new TreeCopy(target, turns(context.signal), args.owners);
      await copy.directory(HERE, `/proc/self/fd/${found}`, target);
    } finally {
      close(found);
      if (target >= 0) close(target);
    }
    return true;
  } finally {
    close(root);
  }
}

function findDirectory(root: number, path: string): number | undefined {
  try {
    const { fd, stat } = findInRoot(root, path, true);
    if (stat.type === S_IFDIR) return fd;
    close(fd);
    return undefined;
  } catch (error) {
    if (error instanceof LighterError && error.kind === "not-found") return undefined;
    throw error;
  }
}

/** What a look at something tells that has become something else, or nothing, since the look before. */
const CHANGED: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "EINVAL", "ENXIO", "ESTALE"]);
/** How often one entry is looked at again: an error that stays is one. */
const TRIES = 20;

class TreeCopy {
  readonly #target: number;
  readonly #turn: () => Promise<void>;
  /** Path below the target of the first copy of a hard-linked inode. */
  readonly #links = new Map<string, ByteString>();

  readonly #owners: CopyArgs["owners"];
  /** What stayed an error. */
  #failure: unknown;

  constructor(target: number, turn: () => Promise<void>, owners: CopyArgs["owners"]) {
    this.#target = target;
    this.#owners = owners;
    this.#turn = turn;
  }

  /** Copies one level and what is below; the target's metadata come last, so that nothing changes its times afterwards. */
  async directory(dir: number, name: ByteString, to: number, path = ""): Promise<void> {
    const from = must(openAt(dir, name, O.DIRECTORY | (dir === HERE ? 0 : O.NOFOLLOW)), "openat", name);
    try {
      for (const { name: child } of readDirectory(from)) {
        await this.#turn();
        await this.#steady(from, child, to, path === "" ? child : `${path}/${child}`);
      }
      const stat = statFd(from);
      if (typeof stat !== "number") applyMetadata(to, metadataOf(this.#owned(stat), xattrsOf(from, "")), name);
    } finally {
      close(from);
    }
  }

  /** As {@link #entry}, again where the source was replaced or removed meanwhile: others may work in it. */
  async #steady(from: number, name: ByteString, to: number, path: ByteString, tries = TRIES): Promise<void> {
    try {
      await this.#entry(from, name, to, path);
    } catch (error) {
      if (error === this.#failure || !CHANGED.has((error as { code?: string }).code ?? "")) throw error;
      // Tried often enough: not once more on each level above.
      if (tries === 0) throw (this.#failure = error);
      await this.#steady(from, name, to, path, tries - 1);
    }
  }

  /** Others may write to the target meanwhile: links of theirs on the way to the first name do not lead out of it. */
  #link(first: ByteString, to: number, name: ByteString): void {
    const parent = must(openInRoot(this.#target, parentOf(first), O.PATH | O.DIRECTORY), "openat2", first);
    try {
      must(linkAt(parent, baseOf(first), to, name), "linkat", first);
    } finally {
      close(parent);
    }
  }

  #owned(stat: FileStat): FileStat {
    if (this.#owners === undefined) return stat;
    const { from, to, users } = this.#owners;
    if (users !== undefined) return { ...stat, ...hostOwnerOf(users, stat) };
    return { ...stat, uid: stat.uid === from.uid ? to.uid : stat.uid, gid: stat.gid === from.gid ? to.gid : stat.gid };
  }

  async #entry(from: number, name: ByteString, to: number, path: ByteString): Promise<void> {
    const stat = statAt(from, name);
    if (typeof stat === "number" || stat.type === S_IFSOCK) return;
    if (stat.type === S_IFDIR) {
      const made = mkdirAt(to, name, 0o700);
      if (made !== -ERRNO.EEXIST) must(made, "mkdirat", path);
      const below = must(openAt(to, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW), "openat", path);
      try {
        await this.directory(from, name, below, path);
      } finally {
        close(below);
      }
      return;
    }
    const key = `${stat.device}:${stat.inode}`;
    const first = stat.links > 1 ? this.#links.get(key) : undefined;
    const there = typeof statAt(to, name) !== "number";
    if (there && stat.links > 1 && first === undefined) this.#links.set(key, path);
    if (there) return;
    if (first !== undefined) this.#link(first, to, name);
    else copyFileAt(from, name, this.#owned(stat), to, name);
    if (stat.links > 1 && first === undefined) this.#links.set(key, path);
  }
}
