import { now, type Nanoseconds } from "../base/clock.ts";
import { LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Task } from "../runtime/runtime.ts";
import { change, type Context, current, tell } from "./context.ts";
import { settlePending } from "./edit-effects.ts";
import { deviceEditOf } from "./device-requests.ts";
import { watchExit } from "./exit.ts";
import { healthStarts } from "./health-rows.ts";
import { checkpointOf, refuseUsers } from "./checkpoint.ts";
import { beginMonitor } from "./early-monitor.ts";
import { endDebug, prepareDebug, refuseDebugged } from "./debug.ts";
import type { Live } from "./live.ts";
import { startableLinks, tellParents } from "./link-hosts.ts";
import { boundLog } from "./log-bound.ts";
import { checkReceiver } from "./log-shipping.ts";
import { networkRequest } from "./network-request.ts";
import { checkPeers } from "./peers.ts";
import { ready } from "./ready.ts";
import { layersOf, type NetworkPlace, prepareMounts, programOf, taskSpecOf } from "./prepare.ts";
import { removeLocked } from "./remove.ts";
import { type ContainerRow, setRestartCount, setRunning, setStartFailed, setStatus, setStoppedByUser } from "./rows.ts";
import { dropSharedShm } from "./shared-shm.ts";
import { waitInStart } from "./start-wait.ts";
import { startError, startExitCode } from "./start-error.ts";
import { checkSubpaths } from "./subpath.ts";
import { type Trace, traceOf } from "./trace.ts";
import { closeUsers, openUsers } from "./users.ts";
import { tellVolumes } from "./volume-events.ts";

const log = logOf("containers");

/** Starts a container. Throws `not-modified` when it runs already; a failed start leaves nothing behind but its reason in the row. */
export function startContainer(
  context: Context,
  reference: string,
  { checkpoint, ...options }: { signal?: AbortSignal; checkpoint?: { id: string; directory?: string } } = {},
): Promise<void> {
  return change(context, reference, async (row, live) => {
    if (checkpoint === undefined) return startLocked(context, row, live, options);
    checkStartable(row, live, false);
    refuseUsers(row);
    const { id, directory } = checkpoint;
    return startLocked(context, row, live, { ...options, restore: await checkpointOf(context, row, reference, { id, directory }) });
  });
}

/**
 * As {@link startContainer}, for callers that hold the lock. `automatic` is a restart by policy: the user's wish to stop is kept in mind.
 * `restore` is the directory of a checkpoint.
 */
export async function startLocked(
  context: Context,
  row: ContainerRow,
  live: Live,
  options: { signal?: AbortSignal; automatic?: boolean; restore?: string } = {},
): Promise<void> {
  checkStartable(row, live, options.automatic === true);
  refuseDebugged(context, row, "start");
  live.cancelRestart?.();
  live.stopRequested = false;
  if (options.automatic !== true) live.backoff = 0;
  const trace = traceOf("start", row.id);
  const dropMonitor = options.restore === undefined ? trace.sync("monitor", () => beginMonitor(context, row)) : undefined;
  let task: Task | undefined;
  try {
    trace.sync("reserve", () => recordStarting(context, row, options.automatic === true));
    checkReceiver(row);
    task = await makeTask(context, row, live, options, trace);
    live.task = task;
    for (const waiting of [...live.pending]) waiting.join(task);
    boundLog(context, row, live, task);
    context.shipping.begin(row, task);
    // Taken before it runs: what it says at once is no older, for who asks for the log since then.
    const started = now();
    await trace.span("run", () => task?.start() ?? Promise.resolve());
    const running = task;
    // A process that cannot be recorded (a full disk) must not run on unseen.
    trace.sync("transaction", () => recordStart(context, row, running, started));
  } catch (error) {
    await dropMonitor?.();
    await failStart(context, row, live, task, error);
    throw startError(error, programOf(row), "create");
  }
  watchExit(context, row.id, live, task);
  context.health.begin(row.id);
  await tellParents(context, row);
  trace.end();
}

/** The places on networks are taken in the transaction that says that it starts: a port in use fails here. */
function recordStarting(context: Context, row: ContainerRow, automatic: boolean): void {
  context.needs.state.write(
    (tx) => {
      // A restart by policy stays `restarting` until it runs.
      if (row.status !== "restarting") setStatus(tx, row.id, "starting");
      if (row.stoppedByUser && !automatic) setStoppedByUser(tx, row.id, false);
      if (row.restartCount > 0 && !automatic) setRestartCount(tx, row.id, 0);
      context.needs.networks.reserve(tx, networkRequest(row));
    },
    { durable: false },
  );
}

function recordStart(context: Context, row: ContainerRow, task: Task, started: Nanoseconds): void {
  context.needs.state.write(
    (tx) => {
      setRunning(tx, row.id, { started, task: task.record });
      healthStarts(tx, row);
      settlePending(context, tx, row);
      tellVolumes(tx, row, "mount");
      tell(tx, row, "start");
    },
    { durable: false },
  );
}

function checkStartable(row: ContainerRow, live: Live, automatic: boolean): void {
  if (row.status === "paused") throw new LighterError("conflict", "cannot start a paused container, try unpause instead");
  if (row.status === "running" || (row.status === "restarting" && !automatic))
    throw new LighterError("not-modified", "Container already started");
  if (live.removing || row.status === "removing" || row.status === "dead")
    throw new LighterError("conflict", "container is marked for removal and cannot be started");
}

async function makeTask(
  context: Context,
  row: ContainerRow,
  live: Live,
  { signal, restore }: { signal?: AbortSignal; restore?: string },
  trace: Trace,
): Promise<Task> {
  const { networks, runtime } = context.needs;
  const layers = layersOf(context, row);
  const copied = trace.sync("directories", () => ready(context, row));
  if (copied !== undefined) await copied;
  const links = startableLinks(context, row);
  await runtime.learn(row.runtime);
  const own = await openUsers(context, row);
  // What fails while the network is being made must not leave it unawaited.
  const within = own && { within: own.network };
  const entering = trace.span("network", () => networks.enter({ ...networkRequest(row), links, ...within }));
  const [network, mounts] = await Promise.allSettled([entering, waitInStart(live, (ended) => prepareMounts(context, row, layers, ended))]);
  try {
    if (network.status === "rejected") throw network.reason;
    if (mounts.status === "rejected") throw mounts.reason;
    const debug = await prepareDebug(context, row);
    const editDevices = await deviceEditOf(row.desired.hostConfig, { directories: context.needs.options.defaults.cdiSpecDirs });
    const spec = trace.sync("spec", () =>
      taskSpecOf(context, row, layers, mounts.value, { ...(network.value satisfies NetworkPlace), users: own?.user }),
    );
    editDevices?.(spec.spec);
    debug?.edit(spec.spec);
    if (restore !== undefined) spec.restore = restore;
    const task = await trace.span("runtime", () => runtime.create(spec, signal === undefined ? {} : { signal }));
    try {
      checkSubpaths(task.record.init.pid, mounts.value);
      checkPeers(context, row);
      debug?.check();
    } catch (error) {
      await task.delete();
      throw error;
    }
    return task;
  } finally {
    closeUsers(own);
    if (network.status === "fulfilled") network.value.entered();
  }
}

/** Undoes a start that failed: process, network, rows; attached clients are let go. Who waits for the next exit waits on, as with Docker: nothing has run. A `--rm` container goes with it. */
async function failStart(context: Context, row: ContainerRow, live: Live, task: Task | undefined, cause: unknown): Promise<void> {
  const error = startError(cause, programOf(row), "create");
  const exitCode = startExitCode(messageOf(error));
  live.task = undefined;
  dropSharedShm(context, row);
  endDebug(context, row);
  const undone = await Promise.allSettled([task?.delete(), context.needs.networks.leave(row.id), context.needs.volumes.release(row.id)]);
  for (const result of undone)
    if (result.status === "rejected") log.warn("after a failed start of {id}: {error}", { id: row.id, error: result.reason });
  try {
    context.needs.state.write(
      (tx) => {
        context.needs.networks.release(tx, row.id);
        setStartFailed(tx, row.id, { status: row.hasRun ? "exited" : "created", exitCode, error: messageOf(error) });
      },
      { durable: false },
    );
    if (row.autoRemove) await removeLocked(context, current(context, row.id), live, { volumes: true });
  } catch (unwritten) {
    // A full disk: the reason of the failed start matters more, and nobody is to wait for ever.
    log.error("after a failed start of {id}: {error}", { id: row.id, error: unwritten });
    if (row.autoRemove) live.tellRemoved({ statusCode: exitCode, error: messageOf(unwritten) });
  } finally {
    for (const waiting of [...live.pending]) waiting.abandon();
  }
}
