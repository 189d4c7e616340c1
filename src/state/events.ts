import { now, type Nanoseconds } from "../base/clock.ts";
import type { Reader, Tx } from "./state.ts";

/** What happened to which object; the source of Docker's `/events`. */
export interface EventDraft {
  type: "container" | "image" | "network" | "volume" | "daemon" | "builder" | "plugin";
  /** Docker's word: `create`, `die`, `exec_start: sh`, ... */
  action: string;
  /** The object's id, or a volume's name, or an image's reference. */
  actor: string;
  attributes: Record<string, string>;
  /** When it happened, if that was not just now (told after a restart of the daemon, say). */
  time?: Nanoseconds;
}

/** An event as stored. */
export interface StoredEvent extends EventDraft {
  sequence: number;
  time: Nanoseconds;
}

interface Row {
  sequence: number;
  time: string;
  type: EventDraft["type"];
  action: string;
  actor: string;
  attributes_json: string;
}

const COLUMNS = "sequence, CAST(time AS TEXT) AS time, type, action, actor, attributes_json";

/** Writes an event in the transaction of the change it tells of; listeners are woken after the commit. */
export function appendEvent(tx: Tx, event: EventDraft): void {
  tx.run(
    "INSERT INTO events (time, type, action, actor, attributes_json) VALUES (?, ?, ?, ?, ?)",
    event.time ?? now(),
    event.type,
    event.action,
    event.actor,
    JSON.stringify(event.attributes),
  );
  tx.afterCommit(wakeAll);
}

/** Writes the event that ends a prune, with the bytes it has freed. */
export function appendPrune(tx: Tx, type: EventDraft["type"], bytes: number): void {
  appendEvent(tx, { type, action: "prune", actor: "", attributes: { reclaimed: String(bytes) } });
}

const wakers = new Set<() => void>();
let wakePending = false;

function wakeAll(): void {
  if (wakePending) return;
  wakePending = true;
  queueMicrotask(() => {
    wakePending = false;
    for (const wake of wakers) wake();
  });
}

/** Calls back after commits that wrote events; returns the function that ends it. Read the table from the last sequence seen. */
export function onEvents(wake: () => void): () => void {
  wakers.add(wake);
  return () => void wakers.delete(wake);
}

/** Events after a sequence number, oldest first. */
export function eventsAfter(state: Reader, sequence: number, limit = 1000): StoredEvent[] {
  return state.all<Row>(`SELECT ${COLUMNS} FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?`, sequence, limit).map(fromRow);
}

/** Events of a span of time (both ends included), in the order of their times; those that follow `after`, a page of them at most. */
export function eventsBetween(
  state: Reader,
  since: Nanoseconds,
  until: Nanoseconds,
  after: Pick<StoredEvent, "time" | "sequence"> = { time: since, sequence: 0 },
  limit = 1000,
): StoredEvent[] {
  const rows = state.all<Row>(
    `SELECT ${COLUMNS} FROM events WHERE time BETWEEN ? AND ? AND (time > ? OR sequence > ?) ORDER BY time, sequence LIMIT ?`,
    after.time,
    until,
    after.time,
    after.sequence,
    limit,
  );
  return rows.map(fromRow);
}

/** The newest sequence number, 0 when there is none. */
export function lastSequence(state: Reader): number {
  return state.get<{ last: number }>("SELECT COALESCE(MAX(sequence), 0) AS last FROM events")?.last ?? 0;
}

/** What is kept of the events; all that is older goes. */
export interface EventBounds {
  before: Nanoseconds;
  keep: number;
  /** How many events of execs are kept: health checks make so many that they are counted apart. */
  keepExecs?: number;
  /** Rows deleted at most, so that a transaction stays short. */
  limit?: number;
}

/** Drops the oldest events past an age and a count; returns how many went. */
export function trimEvents(tx: Tx, { before, keep, keepExecs = keep, limit = -1 }: EventBounds): number {
  const oldest = tx.get<{ time: string }>("SELECT CAST(time AS TEXT) AS time FROM events ORDER BY events.time DESC LIMIT 1 OFFSET ?", keep);
  const bound = oldest !== undefined && BigInt(oldest.time) >= before ? BigInt(oldest.time) + 1n : before;
  const old = tx.run(
    "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events WHERE time < ? ORDER BY time LIMIT ?)",
    bound,
    limit,
  );
  const execs = tx.run(
    `DELETE FROM events WHERE sequence IN (
       SELECT sequence FROM events WHERE ${EXECS} AND sequence <=
         (SELECT sequence FROM events WHERE ${EXECS} ORDER BY sequence DESC LIMIT 1 OFFSET ?)
       ORDER BY sequence LIMIT ?)`,
    keepExecs,
    limit,
  );
  return old.changes + execs.changes;
}

/** As the index `events_exec` has it. */
const EXECS = "action >= 'exec_' AND action < 'exec`'";

function fromRow(row: Row): StoredEvent {
  return {
    sequence: row.sequence,
    time: BigInt(row.time),
    type: row.type,
    action: row.action,
    actor: row.actor,
    attributes: JSON.parse(row.attributes_json) as Record<string, string>,
  };
}
