import { existsSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { rootOf } from "../linux/user-namespace.ts";
import { deriveSpec, placeOf, writeBundle } from "./bundle.ts";
import { Cgroup } from "./cgroup.ts";
import { requireCheckpoint } from "./checkpoint.ts";
import { runCommand } from "./command.ts";
import { type Conmon, type ConmonOptions, startConmon } from "./conmon.ts";
import type { Context } from "./context.ts";
import { checkEarly, monitorOptions, takeEarly, treesOf } from "./early.ts";
import { named } from "./exec.ts";
import { refused } from "./refusal.ts";
import { removeAll } from "./remove.ts";
import type { Task, TaskSpec } from "./runtime.ts";
import { isKnownCrun } from "./runtimes.ts";
import { ContainerTask } from "./task.ts";
import { givePipes, overlayOf, placedMounts } from "./user-mounts.ts";

/** See `Runtime.create`. */
export async function createTask(context: Context, spec: TaskSpec, signal: AbortSignal | undefined): Promise<Task> {
  const cool = context.warmCgroups.hold();
  return await makeTask(context, spec, signal).finally(cool);
}

async function makeTask(context: Context, spec: TaskSpec, signal: AbortSignal | undefined): Promise<Task> {
  const { id, directory, runtime, terminal, stdin } = spec;
  // The same upper directory must not be mounted twice: an earlier run ends first, its monitor with it.
  await context.tasks.get(id)?.delete();
  signal?.throwIfAborted();
  if (context.driver === "systemd" && !runtime.cgroupDrivers.includes("systemd"))
    throw new LighterError("unsupported", `Cannot create container: runtime "${runtime.name}" cannot use systemd's cgroup driver`);
  if (spec.restore !== undefined) requireCheckpoint(runtime);
  const { runtimePath, cgroup } = placeOf(context, id, spec.spec.linux.cgroupsPath);
  const seccomp = await context.seccomp.filterFor(spec);
  context.trace(id, "create");
  const group = new Cgroup(context.host, cgroup);
  const trees = treesOf(context, spec);
  const options: ConmonOptions = {
    ...monitorOptions(context, spec),
    ...(spec.restore === undefined ? {} : { restore: spec.restore }),
    signal,
  };
  await checkEarly(context, options);
  // An exit file of an earlier run (a reboot, a crash before its end was seen) must not be taken for this one's.
  if (!context.early.has(id) && trees.some(existsSync)) await removeAll(context, group, trees);
  const { mounts, binds } = placedMounts(context, spec);
  writeBundle(context, spec, deriveSpec(context, spec, { runtimePath, cgroup, seccomp, mounts }));
  context.trace(id, "bundle");
  let conmon: Conmon;
  try {
    conmon = await startConmon(context, { ...options, overlay: overlayOf(context, spec, binds) }, takeEarly(context, id));
  } catch (error) {
    if (!isKnownCrun(runtime)) await runCommand(context, runtime, ["delete", "--force", id]);
    await removeAll(context, group, trees);
    throw refused(error, "create");
  }
  if (spec.users !== undefined) givePipes(conmon.pid, rootOf(spec.users.map));
  context.trace(id, "created");
  const record = {
    id,
    runtime: runtime.name,
    directory,
    init: named(conmon.pid),
    monitor: named(conmon.monitorPid),
    oomKills: group.oomKills(),
    terminal,
    stdin,
    cgroup,
  };
  return new ContainerTask(context, runtime, record, { restored: spec.restore !== undefined });
}
