import { availableParallelism } from "node:os";
import { fromRfc3339, now } from "../base/clock.ts";
import { kindOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Task } from "../runtime/runtime.ts";
import { type Context, type HealthWatch, liveOf, tell } from "./context.ts";
import { tellExecExit } from "./exec-end.ts";
import { deleteExec } from "./exec-rows.ts";
import { actOnUnhealthy } from "./health-action.ts";
import { type CheckOutcome, runCheck } from "./health-check.ts";
import { HealthClock } from "./health-clock.ts";
import { HealthGate } from "./health-gate.ts";
import { intervalOf, type Probe, probeOf } from "./health-probe.ts";
import { healthActionOf } from "./health-label.ts";
import { healthAfter, type HealthState, withResult } from "./health-result.ts";
import { healthChecks, setChecked, setHealth } from "./health-rows.ts";
import { type ContainerRow, rowById } from "./rows.ts";

const log = logOf("containers");

/** A container that is checked, from its start (or the daemon's) to its exit, pause or the daemon's end. */
interface Watched {
  id: string;
  probe: Probe;
  task: Task;
  stop: AbortController;
}

/** Checks the health of containers. The rows say when each is next, so that a later daemon keeps the times. */
export function openHealth(contextOf: () => Context): HealthWatch {
  const watched = new Map<string, Watched>();
  const checks = { total: 0, failed: 0 };
  // However many are due: the machine is not busy with starting checks alone.
  const gate = new HealthGate(Math.max(2, Math.floor(availableParallelism() / 2)));
  const clock = new HealthClock((id) => {
    const one = watched.get(id);
    if (one === undefined) return;
    check(one).catch((error: unknown) => {
      // A full disk, say: the result cannot be stored, the next one perhaps.
      log.warn("cannot check the health of {id}: {error}", { id, error });
      if (watched.get(id) === one) clock.set(id, one.probe.interval / 1e6);
    });
  });

  /** One check, and the setting of the next. */
  async function check(one: Watched): Promise<void> {
    const context = contextOf();
    const begun = await gate.enter();
    const row = current(one);
    if (row === undefined) return begun();
    const outcome = await runCheck(context, row, liveOf(context, one.id), one.probe, { signal: one.stop.signal, begun });
    checks.total++;
    if (outcome.result.ExitCode !== 0) checks.failed++;
    context.finishedExecs.delete(outcome.exec);
    if (context.closing) return;
    if (current(one) === undefined) return forget(context, one.id, outcome);
    const { delay, failed } = record(context, one, outcome);
    clock.set(one.id, delay);
    if (failed) act(row);
  }

  /** The container's row while this watch is the one that counts. */
  function current(one: Watched): ContainerRow | undefined {
    const context = contextOf();
    if (context.closing || one.stop.signal.aborted || watched.get(one.id) !== one) return undefined;
    const row = rowById(context.needs.state, one.id);
    return row?.status === "running" ? row : undefined;
  }

  function act(row: ContainerRow): void {
    const action = healthActionOf(row.desired.config.Labels);
    if (action === "none") return;
    log.info("{id} is unhealthy: {action}", { id: row.id, action });
    actOnUnhealthy(contextOf(), row.id, action).catch((error: unknown) => {
      // It ended by itself, or somebody was quicker.
      if (!["not-modified", "not-found", "conflict"].includes(kindOf(error)))
        log.warn("cannot {action} {id}: {error}", { id: row.id, action, error });
    });
  }

  return {
    checks,
    begin(id) {
      const context = contextOf();
      const row = rowById(context.needs.state, id);
      const probe = row && probeOf(row.desired.config);
      const { task } = liveOf(context, id);
      if (row?.status !== "running" || probe === undefined || task === undefined) return;
      watched.set(id, { id, probe, task, stop: new AbortController() });
      const due = healthChecks(context.needs.state, id)?.due ?? now() + BigInt(probe.interval);
      // A clock that was set back must not keep a container from being checked for longer than it would take anyway.
      clock.set(id, Math.min(Number(due - now()), Math.max(probe.interval, probe.startInterval)) / 1e6);
      if (row.health?.Status === "unhealthy" && (row.health.FailingStreak ?? 0) >= probe.retries) act(row);
    },
    end(id) {
      clock.clear(id);
      watched.get(id)?.stop.abort();
      watched.delete(id);
    },
    close() {
      clock.close();
    },
  };
}

/** Stores a result in one transaction with the event of a change; the milliseconds until the next check, and whether it became unhealthy by this one. */
function record(context: Context, one: Watched, { exec, result, exit }: CheckOutcome): { delay: number; failed: boolean } {
  return context.needs.state.write(
    (tx) => {
      const row = rowById(tx, one.id);
      const checks = healthChecks(tx, one.id);
      if (row === undefined || checks === undefined) return { delay: 0, failed: false };
      if (exit !== undefined) tellExecExit(tx, row, exec, exit);
      const before: HealthState = { Status: "starting", FailingStreak: 0, ...(row.health as Partial<HealthState> | undefined) };
      const after = healthAfter(before, result.ExitCode, one.probe, (fromRfc3339(result.Start) ?? now()) - row.started);
      const distance = intervalOf(one.probe, after.Status, Number(now() - row.started));
      deleteExec(tx, exec);
      setChecked(tx, one.id, { due: now() + BigInt(distance), log: withResult(checks.log, result) });
      if (after.Status !== before.Status || after.FailingStreak !== before.FailingStreak) setHealth(tx, one.id, after);
      if (after.Status !== before.Status) tell(tx, row, `health_status: ${after.Status}`);
      return { delay: distance / 1e6, failed: after.Status === "unhealthy" && after.Status !== before.Status };
    },
    { durable: false },
  );
}

/** The exec of a check whose result nobody wants any more. */
function forget(context: Context, id: string, { exec, exit }: CheckOutcome): void {
  context.needs.state.write(
    (tx) => {
      const row = rowById(tx, id);
      if (row !== undefined && exit !== undefined) tellExecExit(tx, row, exec, exit);
      deleteExec(tx, exec);
    },
    { durable: false },
  );
}
