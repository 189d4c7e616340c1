import { close, type FileStat, must, O, openAt, readDirectory, rmdirAt, S_IFDIR, statAt, unlinkAt } from "../linux/files.ts";
import { ERRNO } from "../linux/libc.ts";
import { type ByteString, byteString } from "../oci/tar-entry.ts";
import { breathe, type JobContext } from "./job.ts";
import { HERE } from "./tree-path.ts";

/** Other jobs of the Worker get their turn after this many entries. */
const TURN = 512;

/** Removes what stands under a name, a directory with all below; links are removed, not followed. Blocks until done; nothing there is fine. */
export function removeAt(dir: number, name: ByteString): void {
  const result = unlinkAt(dir, name);
  if (result === -ERRNO.EISDIR || result === -ERRNO.EPERM) return removeDirectory(dir, name);
  if (result !== -ERRNO.ENOENT) must(result, "unlinkat", name);
}

function removeDirectory(dir: number, name: ByteString): void {
  const fd = openAt(dir, name, O.DIRECTORY | O.NOFOLLOW);
  if (fd === -ERRNO.ENOENT) return;
  must(fd, "openat", name);
  try {
    for (const entry of readDirectory(fd)) removeAt(fd, entry.name);
  } finally {
    close(fd);
  }
  must(rmdirAt(dir, name), "rmdir", name);
}

/** Removes a tree, letting others have their turn. `path` is absolute. */
export async function removeTreeJob(args: { path: string }, context: JobContext): Promise<void> {
  const turn = turns(context.signal);
  await remove(HERE, byteString(args.path), turn);
}

async function remove(dir: number, name: ByteString, turn: () => Promise<void>): Promise<void> {
  const result = unlinkAt(dir, name);
  if (result === -ERRNO.ENOENT) return;
  if (result !== -ERRNO.EISDIR && result !== -ERRNO.EPERM) return void must(result, "unlinkat", name);
  const fd = openAt(dir, name, O.DIRECTORY | O.NOFOLLOW);
  must(fd, "openat", name);
  try {
    for (const entry of readDirectory(fd)) {
      await turn();
      if (entry.type === S_IFDIR) await remove(fd, entry.name, turn);
      else removeAt(fd, entry.name);
    }
  } finally {
    close(fd);
  }
  must(rmdirAt(dir, name), "rmdir", name);
}

/** A function to call once an entry: every so often it lets messages in and looks for a cancel. */
export function turns(signal: AbortSignal): () => Promise<void> {
  let count = 0;
  return async () => {
    if (++count % TURN === 0) await breathe(signal);
  };
}

/** What a tree holds: bytes on disk with hard links counted once, and inodes. */
export interface TreeSize {
  bytes: number;
  inodes: number;
}

/** Adds up a tree without crossing into other file systems. `path` is absolute. */
export async function treeSizeJob(args: { path: string }, context: JobContext): Promise<TreeSize> {
  const total: TreeSize = { bytes: 0, inodes: 0 };
  const seen = new Set<bigint>();
  const turn = turns(context.signal);
  const root = byteString(args.path);
  const top = statAt(HERE, root);
  if (typeof top === "number") return total;
  const add = (stat: FileStat): void => {
    if (stat.links > 1 && stat.type !== S_IFDIR) {
      if (seen.has(stat.inode)) return;
      seen.add(stat.inode);
    }
    total.bytes += stat.blocks;
    total.inodes++;
  };
  const walk = async (dir: number, name: ByteString): Promise<void> => {
    const fd = openAt(dir, name, O.DIRECTORY | O.NOFOLLOW);
    if (fd < 0) return;
    try {
      for (const entry of readDirectory(fd)) {
        await turn();
        const stat = statAt(fd, entry.name);
        if (typeof stat === "number" || stat.device !== top.device) continue;
        add(stat);
        if (stat.type === S_IFDIR) await walk(fd, entry.name);
      }
    } finally {
      close(fd);
    }
  };
  add(top);
  if (top.type === S_IFDIR) await walk(HERE, root);
  return total;
}
