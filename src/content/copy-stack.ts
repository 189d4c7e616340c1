import { close, linkAt, mkdirAt, must, O, openAt, readDirectory, S_IFDIR, S_IFSOCK, statAt } from "../linux/files.ts";
import { type ByteString, byteString } from "../oci/tar-entry.ts";
import { copyFileAt } from "./copy-file.ts";
import type { JobContext } from "./job.ts";
import { LowerStack, xattrsOf } from "./lower.ts";
import { applyMetadata, metadataOf } from "./make-entry.ts";
import { turns } from "./tree.ts";
import { HERE, joinPath } from "./tree-path.ts";

/** Which layers to join, and where. */
export interface CopyStackArgs {
  /** The layers, topmost first. */
  layers: readonly string[];
  /** A directory that exists; what stands in it already is left as it is. Absolute. */
  target: string;
}

/**
 * Makes one plain directory of a stack of layers: what overlayfs would show, copied (blocks are shared where the file system can).
 * For data roots that carry no overlay. Hard links stay links, holes stay holes, sockets are left out.
 */
export async function copyStackJob({ layers, target }: CopyStackArgs, context: JobContext): Promise<void> {
  const stack = new LowerStack(layers);
  const root = must(openAt(HERE, byteString(target), O.RDONLY | O.DIRECTORY), "open", byteString(target));
  const turn = turns(context.signal);
  /** Path below the target of the first copy of a hard-linked inode. */
  const links = new Map<string, ByteString>();

  async function directory(path: ByteString, to: number): Promise<void> {
    for (const name of namesIn(stack.directories(path))) {
      await turn();
      await entry(joinPath(path, name), name, to);
    }
    const top = stack.entry(path);
    if (top?.stat.type === S_IFDIR) applyMetadata(to, metadataOf(top.stat, xattrsOf(HERE, top.path)), path);
  }

  async function entry(path: ByteString, name: ByteString, to: number): Promise<void> {
    const found = stack.entry(path);
    if (found === undefined || found.stat.type === S_IFSOCK) return;
    const there = statAt(to, name);
    if (found.stat.type === S_IFDIR) {
      if (typeof there === "number") must(mkdirAt(to, name, 0o700), "mkdirat", path);
      else if (there.type !== S_IFDIR) return;
      const below = must(openAt(to, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW), "openat", path);
      try {
        await directory(path, below);
      } finally {
        close(below);
      }
      return;
    }
    if (typeof there !== "number") return;
    const key = `${found.stat.device}:${found.stat.inode}`;
    const first = found.stat.links > 1 ? links.get(key) : undefined;
    if (first !== undefined) must(linkAt(root, first, to, name), "linkat", path);
    else copyFileAt(HERE, found.path, found.stat, to, name);
    if (found.stat.links > 1 && first === undefined) links.set(key, path);
  }

  try {
    await directory("", root);
  } finally {
    close(root);
  }
}

/** All names in some directories, each once. */
function namesIn(directories: readonly ByteString[]): Set<ByteString> {
  const names = new Set<ByteString>();
  for (const directory of directories) {
    const fd = openAt(HERE, directory, O.DIRECTORY | O.NOFOLLOW);
    must(fd, "open", directory);
    try {
      for (const { name } of readDirectory(fd)) names.add(name);
    } finally {
      close(fd);
    }
  }
  return names;
}
