import { kindOf, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Exit, Task } from "../runtime/runtime.ts";
import { type Context, tell } from "./context.ts";
import { endExecs } from "./exec-end.ts";
import { healthStops } from "./health-rows.ts";
import { endDebug } from "./debug.ts";
import type { Live } from "./live.ts";
import { removeLocked } from "./remove.ts";
import { restartDelay, shouldRestart } from "./restart-policy.ts";
import { type ContainerRow, rowById, setExited, setStatus, type Status } from "./rows.ts";
import { dropSharedShm } from "./shared-shm.ts";
import { traceOf } from "./trace.ts";
import { tellVolumes } from "./volume-events.ts";

const log = logOf("containers");

const RETRY_MILLISECONDS = 2000;

/** Waits for the process's end and does what follows; `live.exitHandled` resolves after that. */
export function watchExit(context: Context, id: string, live: Live, task: Task): void {
  handleWhenGone(context, id, live, task);
  live.oomTold = 0;
  task.onOomKill(() => orLog(id, () => tellOomKill(context, id, live, task)));
  void task.monitorLost.then(() => {
    if (!context.closing && live.task === task) orLog(id, () => tellMonitorLost(context, id));
  });
}

/** What cannot be told (an event that a full disk has no room for) is lost, and nothing with it. */
function orLog(id: string, tellIt: () => void): void {
  try {
    tellIt();
  } catch (error) {
    log.warn("cannot tell of {id}: {error}", { id, error });
  }
}

function handleWhenGone(context: Context, id: string, live: Live, task: Task): void {
  const handled = task.exited.then((exit) => live.lock.run(() => handleExit(context, id, live, task, exit)));
  live.exitHandled = handled.catch(async (error: unknown) => {
    log.error("after the exit of {id}: {error}", { id, error });
    const result = { statusCode: (await task.exited).code, error: messageOf(error) };
    live.tellExit(result);
    if (kindOf(error) !== "no-space" || context.closing) return;
    orLog(id, () => {
      if (rowById(context.needs.state, id)?.autoRemove === true) live.tellRemoved(result);
    });
    // Once it can be written down, it is; nobody waits for that.
    if (live.task === task) setTimeout(() => handleWhenGone(context, id, live, task), RETRY_MILLISECONDS).unref();
  });
}

function tellMonitorLost(context: Context, id: string): void {
  const row = rowById(context.needs.state, id);
  if (row === undefined) return;
  log.warn("the monitor of {id} died: its log and input are lost", { id });
  context.needs.state.write((tx) => tell(tx, row, "monitor-lost"), { durable: false });
}

/** A process of the container was killed for want of memory; the container may run on without it. */
function tellOomKill(context: Context, id: string, live: Live, task: Task): void {
  const row = rowById(context.needs.state, id);
  const kills = task.oomKills();
  if (context.closing || live.task !== task || row === undefined || kills <= live.oomTold) return;
  live.oomTold = kills;
  context.needs.state.write((tx) => tell(tx, row, "oom"), { durable: false });
}

/** One transaction with the event, then the kernel's side, then the rows that stood for it; then restart, removal, or rest. */
async function handleExit(context: Context, id: string, live: Live, task: Task, exit: Exit): Promise<void> {
  const row = rowById(context.needs.state, id);
  if (context.closing || row === undefined || live.task !== task) return;
  const trace = traceOf("exit", id);
  context.health.end(id);
  const restart = !live.stopRequested && !live.removing && wantsRestart(row, exit.code);
  const next: Status = restart ? "restarting" : row.autoRemove && !live.restartRequested ? "removing" : "exited";
  trace.sync("transaction", () => recordExit(context, row, exit, { next, oomTold: live.oomTold }));
  endExecs(context, live);
  live.task = undefined;
  for (const waiting of [...live.pending]) waiting.abandon();
  const deleted = orWarn(id, task.delete());
  await trace.span("cleanup", () => cleanUp(context, row));
  if (next === "removing") {
    // What it had mounted is free for everybody when its end is told; of one that had nothing, the rest goes behind that.
    if (row.desired.mounts.length > 0) await deleted;
    const gone = { ...row, status: next, exitCode: exit.code };
    // `removing` is how removeLocked knows that the volumes were in use until now.
    await trace.span("remove", () => removeLocked(context, gone, live, { volumes: true }));
    trace.end();
    return await deleted;
  }
  await deleted;
  release(context, row, next);
  live.tellExit({ statusCode: exit.code });
  if (restart) scheduleRestart(context, id, live, Number(exit.time - row.started) / 1e6);
  trace.end();
}

function wantsRestart(row: ContainerRow, exitCode: number): boolean {
  return shouldRestart(row.desired.hostConfig.RestartPolicy, {
    exitCode,
    restartCount: row.restartCount,
    stoppedByUser: row.stoppedByUser,
  });
}

function recordExit(context: Context, row: ContainerRow, exit: Exit, { next, oomTold }: { next: Status; oomTold: number }): void {
  context.needs.state.write(
    (tx) => {
      setExited(tx, row.id, {
        // `stopping`: the process is gone, the network not yet; a later daemon finishes that.
        status: next === "exited" ? "stopping" : next,
        finished: exit.time,
        exitCode: exit.code,
        error: exit.unknown ?? "",
        oomKilled: exit.oomKilled,
        restartCount: next === "restarting" ? row.restartCount + 1 : row.restartCount,
      });
      healthStops(tx, row);
      if (exit.oomKilled && (exit.oomKills ?? oomTold + 1) > oomTold) tell(tx, row, "oom", {}, exit.time);
      const seconds = (exit.time - row.started) / 1_000_000_000n;
      tell(tx, row, "die", { exitCode: String(exit.code), execDuration: String(seconds < 0n ? 0n : seconds) }, exit.time);
    },
    { durable: false },
  );
}

async function cleanUp(context: Context, row: ContainerRow): Promise<void> {
  dropSharedShm(context, row);
  endDebug(context, row);
  const { networks, volumes } = context.needs;
  await Promise.all([orWarn(row.id, networks.leave(row.id)), orWarn(row.id, volumes.release(row.id))]);
}

/** What fails after an exit is said; the rest follows all the same. */
async function orWarn(id: string, work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    log.warn("after the exit of {id}: {error}", { id, error });
  }
}

/** The rows of addresses and ports go once the kernel holds them no more. */
export function release(context: Context, row: ContainerRow, status: Status): void {
  context.needs.state.write(
    (tx) => {
      context.needs.networks.release(tx, row.id);
      tellVolumes(tx, row, "unmount");
      setStatus(tx, row.id, status);
    },
    { durable: false },
  );
}

/**
 * Starts a container again after Docker's delay; a stop, kill, start or remove in between cancels it.
 * @param ran how long the last run took, in milliseconds
 */
export function scheduleRestart(context: Context, id: string, live: Live, ran: number): void {
  live.backoff = restartDelay(live.backoff, ran);
  const timer = setTimeout(() => {
    live.cancelRestart = undefined;
    void live.lock.run(() => restartNow(context, id, live));
  }, live.backoff);
  live.cancelRestart = () => {
    clearTimeout(timer);
    live.cancelRestart = undefined;
  };
}

async function restartNow(context: Context, id: string, live: Live): Promise<void> {
  const row = rowById(context.needs.state, id);
  if (context.closing || row?.status !== "restarting") return;
  try {
    await context.startAgain(row, live);
  } catch (error) {
    log.warn("cannot restart {id}: {error}", { id, error });
  }
}
