import { opendir } from "node:fs/promises";
import { copyTree } from "../content/trees.ts";

/** Where an image's content comes from; `done` gives the source back. */
export type CopySource = () => Promise<{ path: string; done(): void } | undefined>;

/** Whether a directory has nothing in it. */
export async function isEmpty(path: string): Promise<boolean> {
  const directory = await opendir(path);
  try {
    return (await directory.read()) === null;
  } finally {
    await directory.close();
  }
}

/** Copies an image's directory with owners, modes and attributes into a volume; the volume's directory takes those of the image's. */
export async function populate(target: string, copyFrom: CopySource): Promise<void> {
  const source = await copyFrom();
  if (source === undefined) return;
  try {
    await copyTree({ root: source.path, path: "/", target });
  } finally {
    source.done();
  }
}
