import { renameSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { newId, shortId } from "../base/ids.ts";
import type { Content } from "../content/content.ts";
import { appendEvent } from "../state/events.ts";
import type { Reader, State, Tx } from "../state/state.ts";
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
 * A crash leaves either nothing or the whole. Throws `conflict` for a name in use.
 */
export async function makeFilled(
  { state, content, root }: VolumeShop,
  name: string,
  fill: (directory: string) => Promise<Pick<rows.VolumeRow, "driver" | "config">>,
): Promise<rows.VolumeRow> {
  checkName(name);
  refuseTaken(state, name);
  const draft = `${DRAFT}${shortId(newId())}`;
  state.write((tx) => rows.insertRemoval(tx, draft), { durable: true });
  const directory = join(root, draft);
  try {
    await mkdir(directory, { recursive: true, mode: 0o701 });
    const like = await fill(directory);
    const row = { name, created: now(), anonymous: false, populated: rows.POPULATED.done, ...like };
    state.write(
      (tx) => {
        refuseTaken(tx, name);
        rows.insertVolume(tx, row);
        rows.deleteRemoval(tx, draft);
        rows.insertMove(tx, { from: draft, to: name });
        appendEvent(tx, { type: "volume", action: "create", actor: name, attributes: { driver: row.driver } });
      },
      { durable: true },
    );
    await move({ state, root }, { from: draft, to: name });
    return row;
  } catch (error) {
    await content.discard(directory);
    state.write((tx) => rows.deleteRemoval(tx, draft), { durable: false });
    throw error;
  }
}

/** Gives a volume that no container has another name; its files stay where they are on the disk. */
export async function renameVolume({ state, root }: VolumeShop, row: rows.VolumeRow, name: string): Promise<void> {
  checkName(name);
  state.write(
    (tx) => {
      refuseTaken(tx, name);
      const users = rows.usersOf(tx, row.name);
      if (users.length > 0) throw new LighterError("conflict", `rename ${row.name}: volume is in use - [${users.join(", ")}]`);
      rows.renameVolume(tx, row.name, name);
      rows.insertMove(tx, { from: row.name, to: name });
      appendEvent(tx, { type: "volume", action: "rename", actor: name, attributes: { driver: row.driver, oldName: row.name } });
    },
    { durable: true },
  );
  await move({ state, root }, { from: row.name, to: name });
}

function refuseTaken(reader: Reader, name: string): void {
  if (rows.findVolume(reader, name) !== undefined) throw new LighterError("conflict", `create ${name}: a volume of that name exists`);
}

async function move({ state, root }: Pick<VolumeShop, "state" | "root">, { from, to }: rows.Move): Promise<void> {
  await rename(join(root, from), join(root, to));
  state.write((tx: Tx) => rows.deleteMove(tx, from), { durable: false });
}

/** Finishes what a crash cut short: a directory that has its new name is left as it is. */
export function finishMoves({ state, root }: Pick<VolumeShop, "state" | "root">): void {
  for (const { from, to } of rows.openMoves(state)) {
    try {
      renameSync(join(root, from), join(root, to));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    state.write((tx) => rows.deleteMove(tx, from), { durable: false });
  }
}
