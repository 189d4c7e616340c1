import type { Nanoseconds } from "../base/clock.ts";
import type { ExecRecord } from "../runtime/runtime.ts";
import type { Reader, Tx } from "../state/state.ts";
import type { ExecCreateBody } from "./containers.ts";

/** An exec as stored. */
export interface ExecRow {
  id: string;
  container: string;
  created: Nanoseconds;
  body: ExecCreateBody;
  status: "created" | "running" | "exited";
  exitCode: number | undefined;
  task: ExecRecord | undefined;
}

interface Raw {
  id: string;
  container: string;
  created: string;
  config_json: string;
  status: ExecRow["status"];
  exit_code: number | null;
  task_json: string | null;
}

const COLUMNS = "id, container, CAST(created AS TEXT) AS created, config_json, status, exit_code, task_json";

export function insertExec(tx: Tx, exec: { id: string; container: string; created: Nanoseconds; body: ExecCreateBody }): void {
  tx.run(
    "INSERT INTO execs (id, container, created, config_json, status) VALUES (?, ?, ?, ?, 'created')",
    exec.id,
    exec.container,
    exec.created,
    JSON.stringify({ v: 1, body: exec.body }),
  );
}

/** The exec of an id or an unambiguous prefix. */
export function execRow(reader: Reader, id: string): ExecRow | undefined {
  const raw = reader.get<Raw>(`SELECT ${COLUMNS} FROM execs WHERE id = ?`, id);
  if (raw !== undefined) return fromRaw(raw);
  if (!/^[0-9a-f]{1,63}$/.test(id)) return undefined;
  const found = reader.all<Raw>(`SELECT ${COLUMNS} FROM execs WHERE id >= ? AND id < ? LIMIT 2`, id, `${id}g`);
  return found.length === 1 && found[0] !== undefined ? fromRaw(found[0]) : undefined;
}

export function execsOf(reader: Reader, container: string): ExecRow[] {
  return reader.all<Raw>(`SELECT ${COLUMNS} FROM execs WHERE container = ? ORDER BY created`, container).map(fromRaw);
}

export function runningExecs(reader: Reader): ExecRow[] {
  return reader.all<Raw>(`SELECT ${COLUMNS} FROM execs WHERE status = 'running' ORDER BY created`).map(fromRaw);
}

export function setExecRunning(tx: Tx, id: string, task: ExecRecord): void {
  tx.run("UPDATE execs SET status = 'running', task_json = ? WHERE id = ?", JSON.stringify({ v: 1, task }), id);
}

export function setExecExited(tx: Tx, id: string, exitCode: number): void {
  tx.run("UPDATE execs SET status = 'exited', exit_code = ? WHERE id = ?", exitCode, id);
}

export function deleteExec(tx: Tx, id: string): void {
  tx.run("DELETE FROM execs WHERE id = ?", id);
}

function fromRaw(raw: Raw): ExecRow {
  return {
    id: raw.id,
    container: raw.container,
    created: BigInt(raw.created),
    body: (JSON.parse(raw.config_json) as { v: 1; body: ExecCreateBody }).body,
    status: raw.status,
    exitCode: raw.exit_code ?? undefined,
    task: raw.task_json === null ? undefined : (JSON.parse(raw.task_json) as { v: 1; task: ExecRecord }).task,
  };
}

/** The execs that `inspect` shows: those that run, and those that somebody may still start. */
export function openExecIds(reader: Reader, container: string): string[] {
  return reader
    .all<{ id: string }>("SELECT id FROM execs WHERE container = ? AND status <> 'exited' ORDER BY created", container)
    .map(({ id }) => id);
}

/** Ids of the execs of a container that run. */
export function runningExecIds(reader: Reader, container: string): string[] {
  return reader.all<{ id: string }>("SELECT id FROM execs WHERE container = ? AND status = 'running'", container).map(({ id }) => id);
}
