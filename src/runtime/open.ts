import { constants, mkdirSync } from "node:fs";
import { LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { closeFd, openFd } from "../linux/fd.ts";
import { SealedProgram } from "../linux/sealed-program.ts";
import { openSpawner } from "../linux/spawner.ts";
import { ownNamespaces } from "../linux/user-namespace.ts";
import { defaultDriver, readCgroupHost } from "./cgroup-host.ts";
import { clearCgroups } from "./clear-cgroups.ts";
import type { Context } from "./context.ts";
import { createTask } from "./create.ts";
import { beginMonitor } from "./early.ts";
import { ExecProcess } from "./exec.ts";
import { enterOwnCgroup, leaveOwnCgroup } from "./own-cgroup.ts";
import { isShared, makeCgroup } from "./prepare-host.ts";
import type { Runtime, RuntimeOptions, RuntimeRecord, Task, TaskRecord } from "./runtime.ts";
import { RuntimePaths } from "./runtime-paths.ts";
import { findRuntimes, recordOf } from "./runtimes.ts";
import { openFilters } from "./seccomp-filters.ts";
import { sweepExcept } from "./sweep.ts";
import { ContainerTask } from "./task.ts";
import { cgroupWarmer, moveInto } from "./warm-cgroups.ts";

/** Where distributions put conmon. */
const PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/podman:/usr/lib/podman:/usr/libexec/crio";

/** Opens the part: finds the OCI runtimes, makes the monitors' cgroup and the spawn thread. Throws `unavailable` when conmon is missing. */
export async function openRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { execRoot, cgroupParent } = options;
  const conmon = Bun.which("conmon", { PATH: PATHS });
  if (conmon === null) throw new LighterError("unavailable", "Cannot run containers: conmon is not installed");
  const host = readCgroupHost();
  const driver = options.cgroupDriver === "auto" ? defaultDriver(host) : options.cgroupDriver;
  // A container's root in a user namespace must be able to walk down to its root, and to nothing else.
  mkdirSync(`${execRoot}/rootfs`, { recursive: true, mode: 0o711 });
  for (const name of ["containers", "state"]) mkdirSync(`${execRoot}/${name}`, { recursive: true, mode: 0o700 });
  const monitors = makeCgroup(host, `${cgroupParent}/monitors`);
  if (options.ownCgroup === true) enterOwnCgroup(host, cgroupParent);
  const hostMounts = openFd("/proc/self/ns/mnt", constants.O_RDONLY);
  const [records, spawner] = await Promise.all([
    findRuntimes(options.runtimes),
    openSpawner({
      hostMounts,
      tasksFiles: host.version === 1 ? monitors.map((directory) => `${directory}/tasks`) : [],
      bindRoot: isShared(`${execRoot}/rootfs`) ? `${execRoot}/rootfs` : undefined,
      hybrid: host.hybrid,
    }),
  ]);
  const runtimeArgs = argumentsOf(options.runtimes);
  const context: Context = {
    execRoot,
    cgroupParent,
    driver,
    host,
    spawner,
    conmon,
    runtimeArgs,
    seccomp: openFilters(execRoot, spawner.compileSeccomp),
    programOf: sealedPrograms(),
    warmCgroups: cgroupWarmer(host, monitors),
    placeMonitor: host.version === 2 ? (pid) => void moveInto(`${monitors[0]}/cgroup.procs`, pid) : () => undefined,
    tasks: new Map(),
    early: new Map(),
    trace: options.trace ?? (() => undefined),
  };
  if (records.size > 0) {
    // What the first container would have to wait for.
    const first = recordOf(records, "", options.defaultRuntime);
    context.programOf(first);
    if (first.seccompBytes) context.seccomp.prepare();
  }
  const paths = new RuntimePaths();
  let defaultRuntime = options.defaultRuntime;
  const record = (name: string): ReturnType<Runtime["record"]> => paths.get(name) ?? recordOf(records, name, defaultRuntime);
  return {
    record,
    learn: (name) => paths.learn(name),
    records: () => [...records.values()],
    async configure(next) {
      const found = await findRuntimes(next.runtimes);
      checkDefault(found, next.defaultRuntime);
      replace(records, found);
      replace(runtimeArgs, argumentsOf(next.runtimes));
      defaultRuntime = next.defaultRuntime;
    },
    cgroup: { version: host.version, hybrid: host.hybrid, driver, controllers: host.controllers },
    begin: (spec) => beginMonitor(context, spec),
    create: (spec, { signal } = {}) => createTask(context, spec, signal),
    adopt: async (stored) => {
      await paths.learn(stored.runtime).catch(() => undefined);
      return adopt(context, stored, record);
    },
    adoptExec: (stored) => Promise.resolve(new ExecProcess(context, stored)),
    openRoot: (rootfs) => spawner.detachedOverlay({ target: `${execRoot}/rootfs`, ...rootfs, volatile: false }),
    ownNamespaces: (map, join) => ownNamespaces((program) => spawner.spawn({ ...program, privateMounts: false }), { map, join }),
    warm: () => context.warmCgroups.hint(),
    placeHelper: (pid) => {
      for (const directory of monitors) void moveInto(`${directory}/cgroup.procs`, pid);
    },
    sweep: (keep) => sweepExcept(context, keep),
    [Symbol.asyncDispose]: async () => {
      // What has ended goes with us; the rest is for the next daemon.
      for (const { deleting } of [...context.tasks.values()]) await deleting?.catch(() => undefined);
      spawner.close();
      context.warmCgroups.close();
      closeFd(hostMounts);
      if (context.tasks.size > 0) return;
      if (options.ownCgroup === true) leaveOwnCgroup(host, cgroupParent);
      await clearCgroups(host, cgroupParent);
    },
  };
}

function argumentsOf(runtimes: RuntimeOptions["runtimes"]): Map<string, string[]> {
  return new Map(Object.entries(runtimes).map(([name, { runtimeArgs: list = [] }]) => [name, list]));
}

function checkDefault(records: ReadonlyMap<string, RuntimeRecord>, name: string | undefined): void {
  if (name === undefined) return;
  try {
    recordOf(records, name, undefined);
  } catch (cause) {
    throw new LighterError("invalid", `specified default runtime '${name}' does not exist`, { cause });
  }
}

function replace<T>(map: Map<string, T>, next: ReadonlyMap<string, T>): void {
  map.clear();
  for (const [key, value] of next) map.set(key, value);
}

/** Sealed copies of crun and runc, each made at its first use. */
function sealedPrograms(): Context["programOf"] {
  const programs = new Map<string, SealedProgram>();
  return ({ name, path, kind }) => {
    if (kind === "other") return path;
    let program = programs.get(path);
    if (!program) programs.set(path, (program = new SealedProgram(path)));
    try {
      return program.path();
    } catch (cause) {
      throw new LighterError("unavailable", `Cannot use runtime ${JSON.stringify(name)}: ${path} cannot be read: ${messageOf(cause)}`, {
        cause,
      });
    }
  };
}

function adopt(context: Context, stored: TaskRecord, record: Runtime["record"]): Task {
  const known = context.tasks.get(stored.id);
  if (known) return known;
  try {
    return new ContainerTask(context, record(stored.runtime), stored);
  } catch (error) {
    logOf("runtime").warn("container {id} was made by a runtime that is not configured any more: {error}", { id: stored.id, error });
    return new ContainerTask(context, { ...record(""), name: stored.runtime, kind: "other" }, stored);
  }
}
