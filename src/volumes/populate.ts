import { chown, opendir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type CopyArgs, copyTree, removeTree } from "../content/trees.ts";

/** Where an image's content comes from; `done` gives the source back. */
export type CopySource = () => Promise<{ path: string; done(): void } | undefined>;

/** Whose files become whose: of a mount whose owners are mapped. */
export type Owners = NonNullable<CopyArgs["owners"]>;

/** Whether a directory has nothing in it. */
export async function isEmpty(path: string): Promise<boolean> {
  const directory = await opendir(path);
  try {
    return (await directory.read()) === null;
  } finally {
    await directory.close();
  }
}

/** Removes what a copy that did not come to its end has left: all of it, or what has the names of its source where others may have written meanwhile. */
export async function takeBack(target: string, copyFrom: CopySource | undefined, { shared }: { shared: boolean }): Promise<void> {
  const names = new Set(await readdir(target));
  if (shared) {
    const source = await copyFrom?.();
    try {
      const copied = new Set(source === undefined ? [] : await readdir(source.path));
      for (const name of names) if (!copied.has(name)) names.delete(name);
    } finally {
      source?.done();
    }
  }
  for (const name of names) await removeTree(join(target, name));
}

/** Gives an empty directory to who is to own it. */
export async function giveAway(path: string, { from, to }: Owners): Promise<void> {
  const { uid, gid } = await stat(path);
  await chown(path, uid === from.uid ? to.uid : uid, gid === from.gid ? to.gid : gid);
}

/** Copies an image's directory with owners, modes and attributes into a volume; the volume's directory takes those of the image's. */
export async function populate(target: string, copyFrom: CopySource, owners?: Owners): Promise<void> {
  const source = await copyFrom();
  if (source === undefined) return;
  try {
    await copyTree({ root: source.path, path: "/", target, ...(owners && { owners }) });
  } finally {
    source.done();
  }
}
