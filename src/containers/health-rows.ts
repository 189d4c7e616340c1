import { now, type Nanoseconds } from "../base/clock.ts";
import type { Reader, Tx } from "../state/state.ts";
import { intervalOf, probeOf } from "./health-probe.ts";
import type { HealthState, ProbeResult } from "./health-result.ts";
import type { ContainerRow } from "./rows.ts";

/** What is stored of a container's checks beside its health: enough for the next daemon to go on with. */
export interface HealthChecks {
  /** When the next check is to begin. */
  due: Nanoseconds;
  /** The exec of the check that is under way. */
  exec: string | undefined;
  log: ProbeResult[];
}

interface Raw {
  container: string;
  due: string;
  exec: string | null;
  log_json: string;
}

const COLUMNS = "container, CAST(due AS TEXT) AS due, exec, log_json";

/** The checks of a container; undefined for one that was never checked. */
export function healthChecks(reader: Reader, container: string): HealthChecks | undefined {
  const raw = reader.get<Raw>(`SELECT ${COLUMNS} FROM health_checks WHERE container = ?`, container);
  return raw && { due: BigInt(raw.due), exec: raw.exec ?? undefined, log: (JSON.parse(raw.log_json) as { v: 1; log: ProbeResult[] }).log };
}

/** In the transaction that says that a container runs: it is starting, the first check is a distance away. Older results stay in the log. */
export function healthStarts(tx: Tx, row: ContainerRow): void {
  const probe = probeOf(row.desired.config);
  setHealth(tx, row.id, probe && { Status: "starting", FailingStreak: 0 });
  if (probe !== undefined) setDue(tx, row.id, now() + BigInt(intervalOf(probe, "starting", 0)));
}

/** In the transaction that says that a container is not to be checked any more: nobody knows how it is, which clients read as unhealthy. */
export function healthStops(tx: Tx, row: ContainerRow): void {
  if (probeOf(row.desired.config) === undefined) return;
  tx.run(
    "UPDATE containers SET health_json = json_set(health_json, '$.Status', 'unhealthy') WHERE id = ? AND health_json IS NOT NULL",
    row.id,
  );
}

/** In the transaction that says that a container is paused: it reads unhealthy meanwhile, as with Docker, and what it was is kept. */
export function healthPauses(tx: Tx, row: ContainerRow): void {
  tx.run(
    "UPDATE containers SET health_json = json_set(health_json, '$.Before', json_extract(health_json, '$.Status')) WHERE id = ? AND health_json IS NOT NULL",
    row.id,
  );
  healthStops(tx, row);
}

/** In the transaction that says that a paused container goes on: it is as well as it was before; the next check is a whole distance away. */
export function healthResumes(tx: Tx, row: ContainerRow): void {
  tx.run(
    `UPDATE containers SET health_json = json_remove(json_set(health_json, '$.Status', json_extract(health_json, '$.Before')), '$.Before')
     WHERE id = ? AND json_extract(health_json, '$.Before') IS NOT NULL`,
    row.id,
  );
  const probe = probeOf(row.desired.config);
  if (probe !== undefined) setDue(tx, row.id, now() + BigInt(probe.interval));
}

/** Stores a container's health as `ps` and inspect show it; undefined for one without checks. */
export function setHealth(tx: Tx, container: string, health: HealthState | undefined): void {
  tx.run("UPDATE containers SET health_json = ? WHERE id = ?", health === undefined ? null : JSON.stringify(health), container);
}

function setDue(tx: Tx, container: string, due: Nanoseconds): void {
  tx.run(
    `INSERT INTO health_checks (container, due, exec, log_json) VALUES (?, ?, NULL, '{"v":1,"log":[]}')
     ON CONFLICT (container) DO UPDATE SET due = excluded.due, exec = NULL`,
    container,
    due,
  );
}

/** The checks that were under way when they were last heard of. */
export function checksUnderWay(reader: Reader): { container: string; exec: string }[] {
  return reader.all("SELECT container, exec FROM health_checks WHERE exec IS NOT NULL");
}

/** A check is under way, or (undefined) none any more. */
export function setChecking(tx: Tx, container: string, exec: string | undefined): void {
  tx.run("UPDATE health_checks SET exec = ? WHERE container = ?", exec ?? null, container);
}

/** A check is over. */
export function setChecked(tx: Tx, container: string, options: { due: Nanoseconds; log: ProbeResult[] }): void {
  tx.run(
    "UPDATE health_checks SET due = ?, exec = NULL, log_json = ? WHERE container = ?",
    options.due,
    JSON.stringify({ v: 1, log: options.log }),
    container,
  );
}
