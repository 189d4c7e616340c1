import { lstat, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { newId, shortId } from "../base/ids.ts";
import { copyTree, packTree, unpackTree } from "../content/trees.ts";
import { byteString } from "../oci/tar-entry.ts";
import { tarHeader, tarPadding } from "../oci/tar-write.ts";
import { makeFilled, type VolumeShop } from "./drafts.ts";
import * as rows from "./rows.ts";
import { checkDriver, checkOptions } from "./rules.ts";

/** Runs a copy while those who write to the volume stand still. */
export type Freeze = (copy: () => Promise<void>) => Promise<void>;

/** What an archive begins with: how the volume was made. */
const DESCRIPTION = "volume.json";
const DATA = "_data";
/** Bytes. */
const LONGEST_DESCRIPTION = 1 << 20;

/**
 * A tar archive of a volume: `volume.json` (name, driver, labels, options), then its files below `_data`. With `freeze` the files are of one moment:
 * they are copied while it holds, and packed from the copy. `release` is called when the volume itself is not read any more.
 */
export async function backupVolume(
  shop: VolumeShop,
  row: rows.VolumeRow,
  { freeze, release }: { freeze: Freeze | undefined; release: () => void },
): Promise<ReadableStream<Uint8Array>> {
  const data = join(shop.root, row.name, DATA);
  const head = describe(row);
  if (freeze === undefined) return following(head, packTree({ root: data, path: "/", name: DATA, holes: true }), async () => release());
  const copy = `.backup-${shortId(newId())}`;
  const directory = join(shop.root, copy);
  const discard = async (): Promise<void> => {
    await shop.content.discard(directory);
    shop.state.write((tx) => rows.deleteRemoval(tx, copy), { durable: false });
  };
  shop.state.write((tx) => rows.insertRemoval(tx, copy), { durable: false });
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await freeze(async () => void (await copyTree({ root: data, path: "/", target: directory })));
    release();
    return following(head, packTree({ root: directory, path: "/", name: DATA, holes: true }), discard);
  } catch (error) {
    await discard();
    throw error;
  }
}

function describe({ name, driver, config }: rows.VolumeRow): Uint8Array {
  const text = Buffer.from(`${JSON.stringify({ v: 1, name, driver, labels: config.labels, options: config.options }, null, 1)}\n`);
  const header = tarHeader({
    type: "file",
    path: byteString(DESCRIPTION),
    link: "",
    mode: 0o644,
    uid: 0,
    gid: 0,
    user: "",
    group: "",
    size: text.length,
    mtime: 0n,
    major: 0,
    minor: 0,
  });
  return Buffer.concat([header, text, tarPadding(text.length)]);
}

/** A piece, then a stream; `ended` is called when it is over, whichever way. */
function following(head: Uint8Array, rest: ReadableStream<Uint8Array>, ended: () => Promise<void>): ReadableStream<Uint8Array> {
  const reader = rest.getReader();
  let first: Uint8Array | undefined = head;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (first !== undefined) {
          controller.enqueue(first);
          first = undefined;
          return;
        }
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          await ended();
          controller.close();
        } catch (error) {
          await ended();
          controller.error(error);
        }
      },
      async cancel(reason) {
        await reader.cancel(reason);
        await ended();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Makes a volume of what {@link backupVolume} wrote (plain, gzip or zstd), under its own name or another. Throws `invalid` for another kind of archive. */
export async function restoreVolume(shop: VolumeShop, name: string, archive: AsyncIterable<Uint8Array>): Promise<rows.VolumeRow> {
  return await makeFilled(shop, name, async (directory) => {
    const like = await unpackBackup(directory, archive);
    for (const other of await readdir(directory)) if (other !== DATA) await rm(join(directory, other), { recursive: true });
    checkDriver(name, like.driver);
    checkOptions(name, like.config.options ?? {});
    return withFilesOfItsOwn(like);
  });
}

/** Unpacks such an archive: its files are in `_data` below. Throws `invalid` for another kind of archive. */
export async function unpackBackup(
  directory: string,
  archive: AsyncIterable<Uint8Array>,
): Promise<Pick<rows.VolumeRow, "driver" | "config">> {
  await unpackTree({ root: directory, path: "/" }, archive);
  const like = await descriptionIn(directory);
  if (!(await lstat(join(directory, DATA)).catch(() => undefined))?.isDirectory()) throw notOurs(`it has no "${DATA}"`);
  return like;
}

/** Makes a volume with the files, labels and options of another; with `freeze` they are of one moment. */
export async function copyVolume(
  shop: VolumeShop,
  from: rows.VolumeRow,
  name: string,
  freeze: Freeze | undefined,
): Promise<rows.VolumeRow> {
  return await makeFilled(shop, name, async (directory) => {
    const target = join(directory, DATA);
    await mkdir(target, { mode: 0o755 });
    const copy = async (): Promise<void> => void (await copyTree({ root: join(shop.root, from.name, DATA), path: "/", target }));
    await (freeze === undefined ? copy() : freeze(copy));
    return withFilesOfItsOwn(from);
  });
}

/** What was mounted from elsewhere is copied, not mounted again: that would be the same files, or another machine's. */
export function withFilesOfItsOwn({
  driver,
  config,
}: Pick<rows.VolumeRow, "driver" | "config">): Pick<rows.VolumeRow, "driver" | "config"> {
  return { driver, config: { ...config, options: config.options?.["device"] === undefined ? config.options : null } };
}

async function descriptionIn(directory: string): Promise<Pick<rows.VolumeRow, "driver" | "config">> {
  const path = join(directory, DESCRIPTION);
  const info = await lstat(path).catch(() => undefined);
  if (info === undefined || !info.isFile() || info.size > LONGEST_DESCRIPTION) throw notOurs(`it has no "${DESCRIPTION}"`);
  let given: unknown;
  try {
    given = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw notOurs(`its "${DESCRIPTION}" is no JSON`, cause);
  }
  const { v, driver, labels = null, options = null } = (given ?? {}) as Record<string, unknown>;
  if (v !== 1 || typeof driver !== "string" || !isTexts(labels) || !isTexts(options))
    throw notOurs(`its "${DESCRIPTION}" says nothing known`);
  return { driver, config: { v: 1, labels, options } };
}

function isTexts(value: unknown): value is Record<string, string> | null {
  return (
    value === null || (typeof value === "object" && !Array.isArray(value) && Object.values(value).every((text) => typeof text === "string"))
  );
}

function notOurs(why: string, cause?: unknown): LighterError {
  return new LighterError("invalid", `Cannot restore a volume from this archive: ${why}`, { cause });
}
