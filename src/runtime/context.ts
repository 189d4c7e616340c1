import type { Spawner } from "../linux/spawner.ts";
import type { CgroupHost } from "./cgroup-host.ts";
import type { ContainerTask } from "./task.ts";
import type { EarlyMonitor } from "./early.ts";
import type { CgroupWarmer } from "./warm-cgroups.ts";
import type { RuntimeRecord } from "./runtime.ts";
import type { SeccompFilters } from "./seccomp-filters.ts";

/** What every step of this part needs to know; made once by `openRuntime`. */
export interface Context {
  execRoot: string;
  cgroupParent: string;
  driver: "cgroupfs" | "systemd";
  host: CgroupHost;
  spawner: Spawner;
  seccomp: SeccompFilters;
  conmon: string;
  /** How to call an OCI runtime: the path of a sealed copy for those that would copy themselves at each call. */
  programOf: (runtime: RuntimeRecord) => string;
  /** Makes the kernel's next moves of processes between cgroups quick. */
  warmCgroups: CgroupWarmer;
  /** Extra arguments of configured runtimes, by name. */
  runtimeArgs: ReadonlyMap<string, string[]>;
  /** Moves a spawned monitor into the monitors' cgroup, in the background; on v1 it starts there. */
  placeMonitor: (pid: number) => void;
  /** Live tasks by container id. */
  tasks: Map<string, ContainerTask>;
  /** Monitors that wait for their containers' specifications, by container id. */
  early: Map<string, EarlyMonitor>;
  /** Called with each step of a container's life, for the split of the benchmark and for debug logs. */
  trace: (id: string, step: string) => void;
}

/** Where overlays are mounted, each in its own namespace. */
export function mountPoint(context: Context, id: string): string {
  return `${context.execRoot}/rootfs/${id}`;
}

/** The state directory (`--root`) of an OCI runtime. */
export function stateRoot(context: Context, runtime: RuntimeRecord): string {
  return `${context.execRoot}/state/${runtime.name}`;
}

/** Arguments that come before every command of an OCI runtime. */
export function globalArguments(context: Context, runtime: RuntimeRecord): string[] {
  return ["--root", stateRoot(context, runtime), ...(context.runtimeArgs.get(runtime.name) ?? [])];
}

/** crun refuses to work while it sees the unified tree of a hybrid host. */
export function needsOwnMounts(context: Context, runtime: RuntimeRecord): boolean {
  return context.host.hybrid && runtime.kind === "crun";
}
