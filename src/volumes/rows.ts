import type { Nanoseconds } from "../base/clock.ts";
import type { Reader, Tx } from "../state/state.ts";

/** What a volume was made with. */
export interface VolumeConfig {
  v: 1;
  /** Null where none were given, which Docker tells from an empty object. */
  labels: Record<string, string> | null;
  options: Record<string, string> | null;
}

/** How far the copy of an image's content has come: a copy that a crash cut short is made again. */
export const POPULATED = { no: 0, done: 1, copying: 2 } as const;

/** A volume as stored. */
export interface VolumeRow {
  name: string;
  driver: string;
  created: Nanoseconds;
  anonymous: boolean;
  populated: number;
  config: VolumeConfig;
}

interface Stored {
  name: string;
  driver: string;
  created: string;
  anonymous: number;
  populated: number;
  config_json: string;
}

const COLUMNS = "name, driver, CAST(created AS TEXT) AS created, anonymous, populated, config_json";

function fromStored({ created, anonymous, config_json, ...row }: Stored): VolumeRow {
  return { ...row, created: BigInt(created), anonymous: anonymous === 1, config: JSON.parse(config_json) as VolumeConfig };
}

/** The volume of a name, if there is one. */
export function findVolume(reader: Reader, name: string): VolumeRow | undefined {
  const row = reader.get<Stored>(`SELECT ${COLUMNS} FROM volumes WHERE name = ?`, name);
  return row && fromStored(row);
}

/** All volumes by name. */
export function allVolumes(reader: Reader): VolumeRow[] {
  return reader.all<Stored>(`SELECT ${COLUMNS} FROM volumes ORDER BY name`).map(fromStored);
}

/** Stores a new volume; a name in use is `conflict`. */
export function insertVolume(tx: Tx, row: VolumeRow): void {
  tx.run(
    "INSERT INTO volumes (name, driver, created, anonymous, populated, config_json) VALUES (?, ?, ?, ?, ?, ?)",
    row.name,
    row.driver,
    row.created,
    row.anonymous ? 1 : 0,
    row.populated,
    JSON.stringify(row.config),
  );
}

/** Forgets a volume that nothing refers to. */
export function deleteVolume(tx: Tx, name: string): void {
  tx.run("DELETE FROM volumes WHERE name = ?", name);
}

/** Notes how far the copy of the image has come. */
export function setPopulated(tx: Tx, name: string, populated: number): void {
  tx.run("UPDATE volumes SET populated = ? WHERE name = ?", populated, name);
}

/** Notes that a container mounts a volume; the row goes with the container's. */
export function insertReference(tx: Tx, reference: { volume: string; container: string; destination: string }): void {
  const { volume, container, destination } = reference;
  tx.run("INSERT INTO volume_references (volume, container, destination) VALUES (?, ?, ?)", volume, container, destination);
}

/** Forgets all that a container mounts. */
export function deleteReferences(tx: Tx, container: string): void {
  tx.run("DELETE FROM volume_references WHERE container = ?", container);
}

/** Ids of the containers that mount a volume. */
export function usersOf(reader: Reader, volume: string): string[] {
  return reader
    .all<{ container: string }>("SELECT DISTINCT container FROM volume_references WHERE volume = ? ORDER BY container", volume)
    .map(({ container }) => container);
}

/** How many containers mount each volume that is mounted at all. */
export function userCounts(reader: Reader): Map<string, number> {
  const rows = reader.all<{ volume: string; users: number }>(
    "SELECT volume, COUNT(DISTINCT container) AS users FROM volume_references GROUP BY volume",
  );
  return new Map(rows.map(({ volume, users }) => [volume, users]));
}

/** Names of the anonymous volumes that a container mounts. */
export function anonymousOf(reader: Reader, container: string): string[] {
  return reader
    .all<{ name: string }>(
      "SELECT DISTINCT v.name FROM volume_references r JOIN volumes v ON v.name = r.volume WHERE r.container = ? AND v.anonymous = 1",
      container,
    )
    .map(({ name }) => name);
}

/** Gives a volume another name, in the references to it, too; one that had none is no anonymous one any more. */
export function renameVolume(tx: Tx, from: string, to: string): void {
  const named = `json_remove(config_json, '$.labels."com.docker.volume.anonymous"')`;
  tx.run(
    `INSERT INTO volumes (name, driver, created, anonymous, populated, config_json) SELECT ?, driver, created, 0, populated, ${named} FROM volumes WHERE name = ?`,
    to,
    from,
  );
  tx.run("UPDATE volume_references SET volume = ? WHERE volume = ?", to, from);
  tx.run("DELETE FROM volumes WHERE name = ?", from);
}

const MOVE = "volume-move";

/** A directory that is on its way to another name. */
export interface Move {
  from: string;
  to: string;
  /** The name that what is there before gets, on its way out. */
  aside?: string;
}

/** Names a directory that is about to be renamed, so that this is finished after a crash. */
export function insertMove(tx: Tx, { from, to, aside }: Move): void {
  const data = JSON.stringify({ v: 1, to, aside });
  tx.run("INSERT OR REPLACE INTO effects (kind, key, owner, data_json) VALUES (?, ?, ?, ?)", MOVE, from, to, data);
}

/** Notes that the directory has its new name. */
export function deleteMove(tx: Tx, from: string): void {
  tx.run("DELETE FROM effects WHERE kind = ? AND key = ?", MOVE, from);
}

/** Moves that an earlier daemon did not finish. */
export function openMoves(reader: Reader): Move[] {
  return reader
    .all<{ key: string; owner: string; data_json: string }>("SELECT key, owner, data_json FROM effects WHERE kind = ?", MOVE)
    .map(({ key, owner, data_json }) => {
      const { aside } = JSON.parse(data_json) as { aside?: string };
      return { from: key, to: owner, ...(aside !== undefined && { aside }) };
    });
}

const REMOVAL = "volume-removal";

/** Names a directory that is about to be removed, so that the removal is finished after a crash. */
export function insertRemoval(tx: Tx, name: string): void {
  tx.run("INSERT OR REPLACE INTO effects (kind, key, owner, data_json) VALUES (?, ?, ?, '{}')", REMOVAL, name, name);
}

/** Notes that the directory is gone. */
export function deleteRemoval(tx: Tx, name: string): void {
  tx.run("DELETE FROM effects WHERE kind = ? AND key = ?", REMOVAL, name);
}

/** Removals that an earlier daemon did not finish. */
export function openRemovals(reader: Reader): string[] {
  return reader.all<{ key: string }>("SELECT key FROM effects WHERE kind = ?", REMOVAL).map(({ key }) => key);
}
