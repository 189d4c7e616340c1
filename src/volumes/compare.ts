import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { newId, shortId } from "../base/ids.ts";
import { type Change, compareTrees } from "../content/trees.ts";
import { unpackBackup } from "./backup.ts";
import type { VolumeShop } from "./drafts.ts";
import * as rows from "./rows.ts";

/** How two volumes are compared. */
export interface CompareOptions {
  /** Read every file, not only those whose size or time differ. */
  contents: boolean;
  signal?: AbortSignal;
}

const DATA = "_data";

/** What one volume has against another: what was added, deleted and changed since. */
export async function compareVolumes(
  shop: VolumeShop,
  [after, before]: readonly [string, string],
  { contents, signal }: CompareOptions,
): Promise<Change[]> {
  const data = (name: string): string => join(shop.root, name, DATA);
  return await compareTrees({ before: data(before), after: data(after), contents }, { ...(signal && { signal }) });
}

/** As {@link compareVolumes}, against an archive of `volume backup`, which is unpacked for as long as that takes. Throws `invalid` for another kind of archive. */
export async function compareBackup(
  shop: VolumeShop,
  after: string,
  archive: AsyncIterable<Uint8Array>,
  options: CompareOptions,
): Promise<Change[]> {
  const name = `.compare-${shortId(newId())}`;
  const directory = join(shop.root, name);
  shop.state.write((tx) => rows.insertRemoval(tx, name), { durable: false });
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await unpackBackup(directory, archive);
    return await compareVolumes(shop, [after, name], options);
  } finally {
    await shop.content.discard(directory);
    shop.state.write((tx) => rows.deleteRemoval(tx, name), { durable: false });
  }
}
