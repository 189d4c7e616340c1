import { existsSync, renameSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { newId, shortId } from "../base/ids.ts";
import { logOf } from "../base/log.ts";
import type { Content } from "../content/content.ts";
import { syncTree, unlimitTree } from "../content/trees.ts";
import { appendEvent } from "../state/events.ts";
import type { Reader, State, Tx } from "../state/state.ts";
import { applyLimit, withPossibleLimit } from "./limits.ts";
import * as rows from "./rows.ts";
import { checkName } from "./rules.ts";

/** Where volumes are made and kept. */
export interface VolumeShop {
  state: State;
  content: Content;
  /** `<data-root>/volumes`: a directory a volume, its files in `_data`. */
  root: string;
}

/** Directories in the making: no volume's name begins with a dot. */
const DRAFT = ".draft-";

/**
 * Makes a volume whose files are there from the start: `fill` gets an empty directory for `_data` to be made in, and says what the volume is to be like.
 * A crash leaves either nothing or the whole. Throws `conflict` for a name in use; with `replaces`, which throws where that may not be, the volume of that name
 * gets the files, and a container that has it is `conflict`.
 */
export async function makeFilled(
  { state, content, root }: VolumeShop,
  name: string,
  fill: (directory: string) => Promise<Pick<rows.VolumeRow, "driver" | "config">>,
  { replaces }: { replaces?: () => void } = {},
): Promise<rows.VolumeRow> {
  checkName(name);
  const refuse = replaces === undefined ? refuseTaken : refuseUsed;
  refuse(state, name);
  const draft = `${DRAFT}${shortId(newId())}`;
  state.write((tx) => rows.insertRemoval(tx, draft), { durable: true });
  const directory = join(root, draft);
  const aside = replaces !== undefined ? `${DRAFT}${shortId(newId())}` : undefined;
  let row: rows.VolumeRow;
  try {
    await mkdir(directory, { recursive: true, mode: 0o701 });
    const made = { name, created: now(), anonymous: false, populated: rows.POPULATED.done, ...(await fill(directory)) };
    row = withPossibleLimit(name, made, root);
    await applyLimit(row, join(directory, "_data"));
    // On disk before the row says that they are there, and before what they replace goes.
    await syncTree(directory);
    state.write(
      (tx) => {
        refuse(tx, name);
        replaces?.();
        const there = rows.findVolume(tx, name);
        if (there === undefined) {
          rows.insertVolume(tx, row);
          appendEvent(tx, { type: "volume", action: "create", actor: name, attributes: { driver: row.driver } });
        } else {
          rows.setPopulated(tx, name, rows.POPULATED.done);
          row = { ...there, populated: rows.POPULATED.done };
        }
        rows.deleteRemoval(tx, draft);
        if (aside !== undefined) rows.insertRemoval(tx, aside);
        rows.insertMove(tx, { from: draft, to: name, ...(aside !== undefined && { aside }) });
      },
      { durable: true },
    );
  } catch (error) {
    await finishRemoval({ state, content, root }, draft);
    throw error;
  }
  move({ state, root }, { from: draft, to: name, ...(aside !== undefined && { aside }) });
  if (aside !== undefined) await finishRemoval({ state, content, root }, aside);
  return row;
}

/** Removes a directory whose removal was noted, with its limit. The name is free before anybody else has a turn: a new volume of it is another one. */
export async function finishRemoval({ state, content, root }: VolumeShop, name: string): Promise<void> {
  try {
    unlimitTree(join(root, name, "_data"));
  } catch (error) {
    logOf("volumes").warn("the limit of the removed volume {name} stays: {error}", { name, error });
  }
  await content.discard(join(root, name));
  state.write((tx) => rows.deleteRemoval(tx, name), { durable: false });
}

/** Changes a volume's name in what the containers that have it were asked for. */
export type FollowRename = (tx: Tx, users: readonly string[], from: string, to: string) => void;

/** Gives a volume another name; its files stay where they are on the disk. One that containers have needs `follow`. */
export function renameVolume({ state, root }: VolumeShop, row: rows.VolumeRow, name: string, follow: FollowRename | undefined): void {
  checkName(name);
  state.write(
    (tx) => {
      refuseTaken(tx, name);
      const users = rows.usersOf(tx, row.name);
      if (users.length > 0 && follow === undefined)
        throw new LighterError("conflict", `rename ${row.name}: volume is in use - [${users.join(", ")}]`);
      follow?.(tx, users, row.name, name);
      rows.renameVolume(tx, row.name, name);
      rows.insertMove(tx, { from: row.name, to: name });
      appendEvent(tx, { type: "volume", action: "rename", actor: name, attributes: { driver: row.driver, oldName: row.name } });
    },
    { durable: true },
  );
  move({ state, root }, { from: row.name, to: name });
}

function refuseUsed(reader: Reader, name: string): void {
  const users = rows.usersOf(reader, name);
  if (users.length > 0) throw new LighterError("conflict", `replace ${name}: volume is in use - [${users.join(", ")}]`);
}

function refuseTaken(reader: Reader, name: string): void {
  if (rows.findVolume(reader, name) !== undefined) throw new LighterError("conflict", `create ${name}: a volume of that name exists`);
}

/**
 * In the same turn as the transaction that says so, so that nobody meets the new name without its files. A volume that was never started has no directory
 * yet; one that no volume owns is put aside.
 */
function move({ state, root }: Pick<VolumeShop, "state" | "root">, { from, to, aside = `.orphan-${shortId(newId())}` }: rows.Move): void {
  try {
    if (existsSync(join(root, from))) {
      if (existsSync(join(root, to))) renameSync(join(root, to), join(root, aside));
      renameSync(join(root, from), join(root, to));
    }
  } catch (error) {
    logOf("volumes").error("the files of the volume {to} stay in {from} until the next start: {error}", { from, to, error });
    return;
  }
  state.write((tx: Tx) => rows.deleteMove(tx, from), { durable: false });
}

/** Finishes what a crash cut short. */
export function finishMoves(shop: Pick<VolumeShop, "state" | "root">): void {
  for (const one of rows.openMoves(shop.state)) move(shop, one);
}
