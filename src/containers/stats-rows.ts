import type { Reader } from "../state/state.ts";

/** What statistics need to know of a container. */
export interface StatsRow {
  id: string;
  name: string;
  /** When its process began. */
  started: bigint;
}

interface Raw {
  id: string;
  name: string;
  started: string;
}

/** All containers, or those that have a process; the newest first, as `ps` lists them. */
export function statsRows(reader: Reader, all: boolean): StatsRow[] {
  const which = all ? "" : "WHERE status IN ('running', 'paused', 'stopping', 'restarting')";
  return reader
    .all<Raw>(`SELECT id, name, CAST(started AS TEXT) AS started FROM containers ${which} ORDER BY containers.created DESC`)
    .map(({ id, name, started }) => ({ id, name, started: BigInt(started) }));
}
