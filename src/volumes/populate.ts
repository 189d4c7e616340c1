import { chown, opendir, stat } from "node:fs/promises";
import { type CopyArgs, copyTree } from "../content/trees.ts";

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
