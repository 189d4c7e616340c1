import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/** A file, folder or link of a tree. */
export interface Entry {
  file: boolean;
  /** Octal digits of the permissions. */
  mode: string;
  uid: number;
  gid: number;
  size: number;
  /** Seconds. */
  mtime: number;
}

/** Everything below a folder, by relative path. */
export async function treeOf(folder: string): Promise<Map<string, Entry>> {
  const tree = new Map<string, Entry>();
  for (const path of await readdir(folder, { recursive: true })) {
    const stats = await lstat(join(folder, path));
    const mode = (stats.mode & 0o7777).toString(8);
    tree.set(path, {
      file: stats.isFile(),
      mode,
      uid: stats.uid,
      gid: stats.gid,
      size: stats.size,
      mtime: Math.floor(stats.mtimeMs / 1000),
    });
  }
  return tree;
}
