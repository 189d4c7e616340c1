import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { type Context, find, isRunning, liveOf, tell } from "./context.ts";
import { refuseDebugged } from "./debug.ts";
import type { Live } from "./live.ts";
import { pathsOf } from "./paths.ts";
import { type ContainerRow, deleteRow, rowById } from "./rows.ts";
import { sendSignal } from "./send-signal.ts";
import { dropSharedShm } from "./shared-shm.ts";
import { endStartWait } from "./start-wait.ts";
import { removeLink } from "./unlink.ts";
import { unlimitStorage } from "./storage-size.ts";
import { tellVolumes } from "./volume-events.ts";
import { stopTransfers } from "./transfers.ts";

const log = logOf("containers");
const SIGKILL = 9;
/** What is left of the log of a container that goes may take this long to reach its receiver. */
const SHIPPING_MILLISECONDS = 5000;

/** Removes a container; a running one only with `force`. `volumes` takes its anonymous volumes along, `link` removes a link of that name instead. */
export async function removeContainer(
  context: Context,
  reference: string,
  options: { force: boolean; volumes: boolean; link: boolean },
): Promise<void> {
  if (options.link) return removeLink(context, reference);
  const row = find(context, reference);
  const live = liveOf(context, row.id);
  if (live.removing) throw new LighterError("conflict", `removal of container ${reference} is already in progress`);
  if (!options.force) {
    refuseRunning(row);
    refuseDebugged(context, row, "remove");
  }
  live.removing = true;
  try {
    live.cancelRestart?.();
    if (options.force) {
      stopTransfers(live);
      endStartWait(live);
      await endProcess(context, row.id, live);
    }
    await live.lock.run(async () => {
      const now = rowById(context.needs.state, row.id);
      if (now === undefined) return;
      if (isRunning(now)) refuseRunning(now);
      await removeLocked(context, now, live, { volumes: options.volumes });
    });
  } finally {
    live.removing = false;
  }
}

function refuseRunning(row: ContainerRow): void {
  const refuse = (state: string, what: string): never => {
    throw new LighterError("conflict", `cannot remove container "/${row.name}": container is ${state}: ${what}`);
  };
  if (row.status === "running" || row.status === "starting") refuse("running", "stop the container before removing or force remove");
  if (row.status === "paused") refuse("paused", "unpause and then stop the container before removing or force remove");
  if (row.status === "restarting") refuse("restarting", "stop the container before removing or force remove");
}

/** Kills what runs, after a start that is under way, and waits until all that follows is done. */
async function endProcess(context: Context, id: string, live: Live): Promise<void> {
  const ended = await live.lock.run(async () => {
    const row = rowById(context.needs.state, id);
    if (row === undefined || !isRunning(row) || live.task === undefined) return undefined;
    live.stopRequested = true;
    live.task.drainOutput();
    await sendSignal(context, row, live, SIGKILL, { mayBeGone: true });
    // In an object: a bare promise would be awaited under the lock, which the end of the process needs.
    return { handled: live.exitHandled };
  });
  await ended?.handled;
}

/**
 * Removes what is left of a container that does not run, for callers that hold the lock: one transaction with the event, then the directories
 * (a directory without a row is swept at the daemon's next start), then the anonymous volumes.
 */
export async function removeLocked(context: Context, row: ContainerRow, live: Live, options: { volumes: boolean }): Promise<void> {
  const { content, images, networks, state, volumes, options: paths } = context.needs;
  const finish = state.write(
    (tx) => {
      networks.release(tx, row.id);
      // An exit that is followed by its removal has one transaction less.
      if (row.status === "removing") tellVolumes(tx, row, "unmount");
      const dropped = options.volumes || row.autoRemove ? volumes.dropAnonymous(tx, row.id) : undefined;
      tell(tx, row, "destroy");
      deleteRow(tx, row.id);
      // The image was in use until now.
      images.touch(tx, row.image);
      return dropped;
    },
    { durable: !row.autoRemove },
  );
  for (const waiting of [...live.pending]) waiting.abandon();
  context.live.delete(row.id);
  const { directory } = pathsOf(paths, row.id);
  try {
    await context.shipping.finish(row.id, SHIPPING_MILLISECONDS);
    unlimitStorage(pathsOf(paths, row.id));
    await content.discard(directory);
    dropSharedShm(context, row);
  } catch (error) {
    // The container is gone for everybody; what is left of its files goes at the daemon's next start.
    log.warn("cannot remove the files of {id}: {error}", { id: row.id, error });
  }
  await finish?.().catch((error: unknown) => log.warn("cannot remove the volumes of {id}: {error}", { id: row.id, error }));
  live.tellExit({ statusCode: row.exitCode });
  live.tellRemoved({ statusCode: row.exitCode });
}
