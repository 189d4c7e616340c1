import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { now } from "../base/clock.ts";
import { isAlive } from "../linux/process.ts";
import type { Task } from "../runtime/runtime.ts";
import { type Context, isRunning, liveOf } from "./context.ts";
import { makeParent } from "./directories.ts";
import { undoEdits } from "./edit-effects.ts";
import { recordExecExit, watchExec } from "./exec-end.ts";
import { runningExecs } from "./exec-rows.ts";
import { sweepExecs } from "./exec-sweep.ts";
import { release, watchExit } from "./exit.ts";
import { restoreHealth } from "./health-restore.ts";
import type { Live } from "./live.ts";
import { boundLog } from "./log-bound.ts";
import { removeLocked } from "./remove.ts";
import { pathsOf } from "./paths.ts";
import { shouldRestart } from "./restart-policy.ts";
import { allRows, type ContainerRow, rowById, setStatus } from "./rows.ts";
import { sweepSharedShm } from "./shared-shm.ts";
import { startLocked } from "./start.ts";
import { unlimitStorage } from "./storage-size.ts";

const log = logOf("containers");

/**
 * Takes up what the last daemon left: adopts what runs, tells what ended meanwhile in the order of the true times, finishes what was
 * under way, sweeps what no row names, and starts what a policy wants to run.
 */
export async function restoreContainers(context: Context): Promise<void> {
  makeParent(context);
  const rows = allRows(context.needs.state).toReversed();
  const adopted = new Set<string>();
  // Those that ended meanwhile are released as their exits are handled.
  void context.needs.volumes.adopt(new Set(rows.filter((row) => isRunning(row) && row.task !== undefined).map(({ id }) => id)));
  const ended: { live: Live; time: bigint }[] = [];
  for (const row of rows) {
    if (!isRunning(row) || row.task === undefined) continue;
    adopted.add(row.id);
    const live = await adopt(context, row);
    if (!isAlive(row.task.init)) ended.push({ live, time: (await live.task?.exited)?.time ?? 0n });
  }
  await context.needs.runtime.sweep(adopted);
  await adoptExecs(context, adopted);
  await undoEdits(context);
  // The exits are handled in the order in which they were adopted; each one's event carries its own time.
  for (const { live } of ended.sort((a, b) => (a.time < b.time ? -1 : 1))) await live.exitHandled;
  // Before anybody begins an exec: one that is just being made would be taken for the last daemon's.
  await sweepExecs(context, adopted);
  restoreHealth(context, adopted);
  for (const row of rows) if (!adopted.has(row.id)) await finish(context, row);
  for (const row of rows) if (!adopted.has(row.id) && row.hasRun) context.shipping.begin(row);
  await sweepDirectories(context);
  sweepSharedShm(context);
  startByPolicy(context);
}

async function adopt(context: Context, row: ContainerRow): Promise<Live> {
  const live = liveOf(context, row.id);
  if (row.task === undefined) return live;
  const task = await context.needs.runtime.adopt(row.task);
  live.task = task;
  await freezeAsStored(row, task);
  // A stop that was under way when the daemon died is the user's wish still.
  live.stopRequested = row.stoppedByUser;
  watchExit(context, row.id, live, task);
  // Those of a container that runs were told by the last daemon.
  if (isAlive(row.task.init)) live.oomTold = task.oomKills();
  boundLog(context, row, live, task);
  context.shipping.begin(row, task);
  return live;
}

/** A pause, or its end, that was cut off between the kernel and the row: the row counts, or nobody could thaw what is frozen. */
async function freezeAsStored(row: ContainerRow, task: Task): Promise<void> {
  if (!isAlive(task.record.init)) return;
  try {
    await (row.status === "paused" ? task.pause() : task.resume());
  } catch (error) {
    log.debug("cannot tell whether {id} is paused: {error}", { id: row.id, error });
  }
}

async function adoptExecs(context: Context, containers: ReadonlySet<string>): Promise<void> {
  context.needs.state.write((tx) => tx.run("DELETE FROM execs WHERE status <> 'running'"), { durable: false });
  for (const exec of runningExecs(context.needs.state)) {
    if (exec.task !== undefined && containers.has(exec.container)) {
      const task = await context.needs.runtime.adoptExec(exec.task);
      const live = liveOf(context, exec.container);
      const told = watchExec(context, live, exec.id, task);
      if (!isAlive(exec.task.process)) await told;
    } else recordExecExit(context, exec.id, { code: 255, time: now() });
  }
}

/** Completes what the row says was under way for a container without a process. */
async function finish(context: Context, row: ContainerRow): Promise<void> {
  const { status } = row;
  if (status === "created" || status === "exited" || status === "dead") {
    // As Docker: one that was made and never started, too, as its client was cut off.
    if (row.autoRemove) await remove(context, row);
    return;
  }
  await context.needs.networks
    .leave(row.id)
    .catch((error: unknown) => log.warn("cannot clean the network of {id}: {error}", { id: row.id, error }));
  // The first start of a `--rm` container that was cut off failed, and a failed start removes it.
  if (status === "removing" || row.autoRemove) return remove(context, row);
  if (status === "restarting") return release(context, row, status);
  release(context, row, row.hasRun || status !== "starting" ? "exited" : "created");
}

async function remove(context: Context, row: ContainerRow): Promise<void> {
  const live = liveOf(context, row.id);
  await live.lock.run(async () => {
    if (rowById(context.needs.state, row.id) !== undefined) await removeLocked(context, row, live, { volumes: true });
  });
}

/** Directories of containers that have no row: a create or a removal that was cut off. */
async function sweepDirectories(context: Context): Promise<void> {
  const parent = join(context.needs.options.dataRoot, "containers");
  const names = await readdir(parent).catch(() => []);
  for (const name of names) {
    if (/^[0-9a-f]{64}$/.test(name) && rowById(context.needs.state, name) === undefined) {
      unlimitStorage(pathsOf(context.needs.options, name));
      await context.needs.content.discard(join(parent, name));
    }
  }
}

/** Starts, in the background, what should run; until then it reads as `restarting`. A failure is told in the row and in the log. */
function startByPolicy(context: Context): void {
  const waiting = allRows(context.needs.state)
    .toReversed()
    .filter((row) => isToStart(row) && context.live.get(row.id)?.cancelRestart === undefined);
  if (waiting.length === 0) return;
  context.needs.state.write((tx) => waiting.forEach(({ id }) => setStatus(tx, id, "restarting")), { durable: false });
  for (const { id } of waiting) {
    const live = liveOf(context, id);
    void live.lock.run(async () => {
      const row = rowById(context.needs.state, id);
      if (context.closing || row?.status !== "restarting") return;
      try {
        await startLocked(context, row, live, { automatic: true });
      } catch (error) {
        log.warn("cannot start {id} by its restart policy: {error}", { id, error: messageOf(error) });
      }
    });
  }
}

/** Which rows ask for a start. One that waited for its next when the daemon died was counted already. */
function isToStart(row: ContainerRow): boolean {
  if (row.status === "restarting") return true;
  return row.status === "exited" && row.hasRun && shouldRestart(row.desired.hostConfig.RestartPolicy, row);
}
