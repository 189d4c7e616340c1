import { LighterError } from "../base/errors.ts";
import type { Nanoseconds } from "../base/clock.ts";
import type { Digest } from "../oci/image.ts";
import type { TaskRecord } from "../runtime/runtime.ts";
import type { Reader, Tx } from "../state/state.ts";
import type { Desired } from "./desired.ts";
import type { ShipPosition } from "./log-spool.ts";

/** The states of a row; `starting`, `stopping` and `removing` tell a later daemon what was under way. */
export type Status = "created" | "starting" | "running" | "paused" | "restarting" | "stopping" | "exited" | "removing" | "dead";

/** A container as stored. */
export interface ContainerRow {
  id: string;
  name: string;
  created: Nanoseconds;
  desired: Desired;
  image: Digest;
  manifest: Digest;
  chainId: Digest | undefined;
  runtime: string;
  autoRemove: boolean;
  status: Status;
  started: Nanoseconds;
  finished: Nanoseconds;
  exitCode: number;
  error: string;
  oomKilled: boolean;
  restartCount: number;
  stoppedByUser: boolean;
  hasRun: boolean;
  health: { Status?: string; FailingStreak?: number } | undefined;
  task: TaskRecord | undefined;
  log: LogState | undefined;
}

/** How far a container's log was sent away, for drivers that send it. */
export interface LogState {
  v: 1;
  shipped: ShipPosition;
}

interface Raw {
  id: string;
  name: string;
  created: string;
  config_json: string;
  image: Digest;
  manifest: Digest;
  chain_id: Digest | null;
  runtime: string;
  auto_remove: number;
  status: Status;
  started: string;
  finished: string;
  exit_code: number;
  error: string;
  oom_killed: number;
  restart_count: number;
  stopped_by_user: number;
  has_run: number;
  health_json: string | null;
  task_json: string | null;
  log_json: string | null;
}

const COLUMNS =
  "id, name, CAST(created AS TEXT) AS created, config_json, image, manifest, chain_id, runtime, auto_remove, status, " +
  "CAST(started AS TEXT) AS started, CAST(finished AS TEXT) AS finished, exit_code, error, oom_killed, restart_count, stopped_by_user, has_run, " +
  "health_json, task_json, log_json";

/** The row of a full id. */
export function rowById(reader: Reader, id: string): ContainerRow | undefined {
  const raw = reader.get<Raw>(`SELECT ${COLUMNS} FROM containers WHERE id = ?`, id);
  return raw && fromRaw(raw);
}

/** All rows, newest first. */
export function allRows(reader: Reader): ContainerRow[] {
  return reader.all<Raw>(`SELECT ${COLUMNS} FROM containers ORDER BY created DESC`).map(fromRaw);
}

/** Finds a container by id, name (with or without its slash) or unambiguous prefix of its id. Throws `not-found` and, for an ambiguous prefix, `invalid`. */
export function findRow(reader: Reader, reference: string): ContainerRow {
  const name = reference.startsWith("/") ? reference.slice(1) : reference;
  const exact = rowById(reader, reference) ?? reader.all<Raw>(`SELECT ${COLUMNS} FROM containers WHERE name = ?`, name).map(fromRaw)[0];
  if (exact !== undefined) return exact;
  if (/^[0-9a-f]{1,64}$/.test(reference)) {
    const found = reader.all<Raw>(`SELECT ${COLUMNS} FROM containers WHERE id >= ? AND id < ? LIMIT 2`, reference, `${reference}g`);
    if (found.length > 1) throw new LighterError("invalid", `Multiple IDs found with provided prefix: ${reference}`);
    if (found[0] !== undefined) return fromRaw(found[0]);
  }
  throw new LighterError("not-found", `No such container: ${reference}`);
}

/** Parsed configurations, by their text: rows change often, what was asked for hardly ever. */
const parsed = new Map<string, { text: string; value: Desired }>();

function desiredOf(id: string, text: string): Desired {
  const known = parsed.get(id);
  if (known?.text === text) return known.value;
  const value = JSON.parse(text) as Desired;
  parsed.set(id, { text, value });
  return value;
}

function fromRaw(raw: Raw): ContainerRow {
  return {
    id: raw.id,
    name: raw.name,
    created: BigInt(raw.created),
    desired: desiredOf(raw.id, raw.config_json),
    image: raw.image,
    manifest: raw.manifest,
    chainId: raw.chain_id ?? undefined,
    runtime: raw.runtime,
    autoRemove: raw.auto_remove !== 0,
    status: raw.status,
    started: BigInt(raw.started),
    finished: BigInt(raw.finished),
    exitCode: raw.exit_code,
    error: raw.error,
    oomKilled: raw.oom_killed !== 0,
    restartCount: raw.restart_count,
    stoppedByUser: raw.stopped_by_user !== 0,
    hasRun: raw.has_run !== 0,
    health: raw.health_json === null ? undefined : (JSON.parse(raw.health_json) as { Status?: string; FailingStreak?: number }),
    task: raw.task_json === null ? undefined : (JSON.parse(raw.task_json) as { v: 1; task: TaskRecord }).task,
    log: raw.log_json === null ? undefined : (JSON.parse(raw.log_json) as LogState),
  };
}

/** Stores a new container. A name in use breaks the UNIQUE constraint: `conflict`. */
export function insertRow(
  tx: Tx,
  row: {
    id: string;
    name: string;
    created: Nanoseconds;
    desired: Desired;
    image: Digest;
    manifest: Digest;
    chainId: Digest | undefined;
    runtime: string;
    autoRemove: boolean;
  },
): void {
  const text = JSON.stringify(row.desired);
  tx.run(
    "INSERT INTO containers (id, name, created, config_json, image, manifest, chain_id, runtime, auto_remove, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'created')",
    row.id,
    row.name,
    row.created,
    text,
    row.image,
    row.manifest,
    row.chainId ?? null,
    row.runtime,
    row.autoRemove ? 1 : 0,
  );
  parsed.set(row.id, { text, value: row.desired });
}

/** What is asked for of a container from now on. */
export function setDesired(tx: Tx, id: string, desired: Desired): void {
  tx.run("UPDATE containers SET config_json = ? WHERE id = ?", JSON.stringify(desired), id);
}

/** Deletes the row and, by its foreign keys, execs, endpoints, ports and volume references. */
export function deleteRow(tx: Tx, id: string): void {
  tx.run("DELETE FROM containers WHERE id = ?", id);
  tx.afterCommit(() => void parsed.delete(id));
}

export function setStatus(tx: Tx, id: string, status: Status): void {
  tx.run("UPDATE containers SET status = ? WHERE id = ?", status, id);
}

/** The container runs: its task is known, the errors of the last try are gone. */
export function setRunning(tx: Tx, id: string, options: { started: Nanoseconds; task: TaskRecord }): void {
  tx.run(
    "UPDATE containers SET status = 'running', started = ?, exit_code = 0, error = '', oom_killed = 0, has_run = 1, task_json = ? WHERE id = ?",
    options.started,
    JSON.stringify({ v: 1, task: options.task }),
    id,
  );
}

export function setLogState(tx: Tx, id: string, log: LogState): void {
  tx.run("UPDATE containers SET log_json = ? WHERE id = ?", JSON.stringify(log), id);
}

/** The container's process is gone. */
export function setExited(
  tx: Tx,
  id: string,
  options: { status: Status; finished: Nanoseconds; exitCode: number; error: string; oomKilled: boolean; restartCount: number },
): void {
  tx.run(
    "UPDATE containers SET status = ?, finished = ?, exit_code = ?, error = ?, oom_killed = ?, restart_count = ?, task_json = NULL WHERE id = ?",
    options.status,
    options.finished,
    options.exitCode,
    options.error,
    options.oomKilled ? 1 : 0,
    options.restartCount,
    id,
  );
}

/** A start that failed: as before, with the reason. */
export function setStartFailed(tx: Tx, id: string, options: { status: Status; exitCode: number; error: string }): void {
  tx.run(
    "UPDATE containers SET status = ?, exit_code = ?, error = ?, task_json = NULL WHERE id = ?",
    options.status,
    options.exitCode,
    options.error,
    id,
  );
}

export function setStoppedByUser(tx: Tx, id: string, value: boolean): void {
  tx.run("UPDATE containers SET stopped_by_user = ? WHERE id = ?", value ? 1 : 0, id);
}

export function setRestartCount(tx: Tx, id: string, count: number): void {
  tx.run("UPDATE containers SET restart_count = ? WHERE id = ?", count, id);
}

export function setName(tx: Tx, id: string, name: string): void {
  tx.run("UPDATE containers SET name = ? WHERE id = ?", name, id);
}

/** Whether somebody has this name; the id of who has. */
export function idOfName(reader: Reader, name: string): string | undefined {
  return reader.get<{ id: string }>("SELECT id FROM containers WHERE name = ?", name)?.id;
}

/** How many containers are in each state. */
export function statusCounts(reader: Reader): { running: number; paused: number; stopped: number } {
  const counts = { running: 0, paused: 0, stopped: 0 };
  for (const { status, n } of reader.all<{ status: Status; n: number }>("SELECT status, COUNT(*) AS n FROM containers GROUP BY status")) {
    if (status === "running" || status === "restarting" || status === "stopping") counts.running += n;
    else if (status === "paused") counts.paused += n;
    else counts.stopped += n;
  }
  return counts;
}
