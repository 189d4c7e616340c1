import { askedMacAddress } from "./asked-mac-address.ts";
import { attachContainer } from "./attach.ts";
import { containerChanges } from "./changes.ts";
import { createCheckpoint, listCheckpoints, removeCheckpoint } from "./checkpoint.ts";
import { commitContainer } from "./commit.ts";
import type { Containers } from "./containers.ts";
import { type Context, find } from "./context.ts";
import { createContainer } from "./create.ts";
import { createExec } from "./exec-create.ts";
import { inspectExec, resizeExec } from "./exec-inspect.ts";
import { findExec, startExec } from "./exec-start.ts";
import { archivePath, exportContainer, extractArchive, statPath } from "./files.ts";
import { openHealth } from "./health.ts";
import { inspectContainer } from "./inspect.ts";
import { killContainer } from "./kill.ts";
import { listContainers } from "./list.ts";
import { clearLogs } from "./log-clear.ts";
import { LogShipping } from "./log-shipping.ts";
import { containerLogs, logFrames } from "./logs.ts";
import type { ContainersNeeds } from "./needs.ts";
import { pauseContainer, unpauseContainer } from "./pause.ts";
import { pruneContainers } from "./prune.ts";
import { removeContainer } from "./remove.ts";
import { whileAtRest } from "./follow-volume.ts";
import { renameContainer } from "./rename.ts";
import { resizeContainer } from "./resize.ts";
import { restartContainer } from "./restart.ts";
import { restoreContainers } from "./restore.ts";
import { statusCounts } from "./rows.ts";
import { startContainer, startLocked } from "./start.ts";
import { Stats } from "./stats.ts";
import { stopContainer } from "./stop.ts";
import { topContainer } from "./top.ts";
import { updateContainer } from "./update.ts";
import { waitContainer } from "./wait.ts";

/** The containers of one engine. Nothing runs until `restore` is called. */
export function openContainers(needs: ContainersNeeds): Containers {
  const context: Context = {
    needs,
    live: new Map(),
    finishedExecs: new Map(),
    startAgain: (row, live) => startLocked(context, row, live, { automatic: true }),
    health: openHealth(() => context),
    closing: false,
    shipping: new LogShipping(needs.state, needs.options),
  };
  const stats = new Stats(context);
  return {
    restore: async () => {
      await restoreContainers(context);
      stats.start();
    },
    [Symbol.asyncDispose]: () => {
      stats.stop();
      return close(context);
    },
    create: (name, body, options) => createContainer(context, name, body, options),
    start: async (reference, options) => startContainer(context, reference, options),
    createCheckpoint: (reference, request) => createCheckpoint(context, reference, request),
    checkpoints: (reference, directory) => listCheckpoints(context, reference, directory),
    removeCheckpoint: (reference, id, directory) => removeCheckpoint(context, reference, id, directory),
    stop: (reference, options) => stopContainer(context, reference, options),
    restart: (reference, options) => restartContainer(context, reference, options),
    kill: async (reference, signal) => killContainer(context, reference, signal),
    pause: async (reference) => pauseContainer(context, reference),
    unpause: async (reference) => unpauseContainer(context, reference),
    rename: async (reference, name) => renameContainer(context, reference, name),
    whileAtRest: (ids, volume, work) => whileAtRest(context, ids, volume, work),
    update: (reference, body) => updateContainer(context, reference, body),
    remove: (reference, options) => removeContainer(context, reference, options),
    resize: (reference, size) => resizeContainer(context, reference, size),
    wait: (reference, condition) => waitContainer(context, reference, condition),
    attach: (reference, sink, options) => attachContainer(context, reference, sink, options),
    logs: (reference, options) => containerLogs(context, reference, options),
    logFrames: (reference, options) => logFrames(context, reference, options),
    clearLogs: (reference) => clearLogs(context, reference),
    terminal: (reference) => find(context, reference).desired.config.Tty ?? false,
    list: (options) => listContainers(context, options),
    inspect: (reference, options) => inspectContainer(context, reference, options),
    askedMacAddress: (reference) => askedMacAddress(context, reference),
    top: (reference, psArguments) => topContainer(context, reference, psArguments),
    stats: (reference, options) => stats.of(reference, options),
    allStats: (options) => stats.all(options),
    changes: (reference) => containerChanges(context, reference),
    commit: (reference, request) => commitContainer(context, reference, request),
    prune: (filters) => pruneContainers(context, filters),
    stat: async (reference, path) => statPath(context, reference, path),
    archive: (reference, path, options) => archivePath(context, reference, path, options),
    extract: async (reference, path, tar, options) => extractArchive(context, reference, path, tar, options),
    export: (reference, options) => exportContainer(context, reference, options),
    createExec: async (reference, body) => createExec(context, reference, body),
    startExec: (id, options) => startExec(context, id, options),
    resizeExec: (id, size) => resizeExec(context, id, size),
    inspectExec: (id) => inspectExec(context, id),
    execTerminal: (id) => findExec(context, id).body.Tty ?? false,
    counts: () => statusCounts(needs.state),
    healthChecks: () => context.health.checks,
  };
}

/** Stops watching; what runs, runs on. */
async function close(context: Context): Promise<void> {
  context.closing = true;
  context.shipping.close();
  context.health.close();
  for (const live of context.live.values()) live.cancelRestart?.();
  // What is under way comes to its end, so that no transaction meets a closed database.
  await Promise.all([...context.live.values()].map((live) => live.lock.run(() => Promise.resolve())));
}
