import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import type { Mount, RuntimeSpec, Seccomp } from "../oci/spec.ts";
import { type Context, mountPoint } from "./context.ts";
import type { TaskSpec } from "./runtime.ts";
import { cgroupOf } from "./cgroup-host.ts";
import { rootPath } from "./user-mounts.ts";

/** crun's way to take a compiled filter. https://github.com/containers/crun/blob/main/crun.1.md */
const SECCOMP_BYTES = "run.oci.seccomp_bpf_data";
/** crun before 1.9 refuses anything but 1.0. */
const OCI_VERSION = "1.0.2";

/** What the bundle's `config.json` adds to the caller's spec. */
export interface Derived {
  /** `linux.cgroupsPath`. */
  runtimePath: string;
  /** Where the cgroup is below each root. */
  cgroup: string;
  /** A compiled filter in base64, or a profile for a runtime that takes none, or neither. */
  seccomp: { bytes: string } | { profile: Seccomp } | undefined;
  /** Where they differ from the caller's: sources at their places. */
  mounts?: Mount[];
}

/** Where the container's cgroup goes: what the spec names, else `<cgroupParent>/<id>`. */
export function placeOf(context: Context, id: string, asked: string | undefined): { runtimePath: string; cgroup: string } {
  if (asked !== undefined && asked.startsWith("/")) return { runtimePath: asked, cgroup: asked };
  const { runtimePath, path } = cgroupOf(context.driver, parentOf(context, asked), id);
  return { runtimePath, cgroup: path };
}

/** `linux.cgroupsPath` in systemd's form, `slice:prefix:name`, names a parent slice. */
function parentOf(context: Context, asked: string | undefined): string {
  const slice = asked?.split(":")[0];
  return slice?.endsWith(".slice") === true ? slice.slice(0, -".slice".length) : context.cgroupParent;
}

/** The spec as the OCI runtime gets it. */
export function deriveSpec(context: Context, task: TaskSpec, derived: Derived): RuntimeSpec {
  const { spec } = task;
  const { seccomp: _, ...linux } = spec.linux;
  const { seccomp } = derived;
  return {
    ...spec,
    ociVersion: OCI_VERSION,
    process: {
      ...spec.process,
      terminal: task.terminal,
      ...(task.terminal && task.size ? { consoleSize: task.size } : {}),
    },
    root: { ...spec.root, path: rootPath(context, task) },
    ...(derived.mounts && { mounts: derived.mounts }),
    linux: {
      // runc's default; crun's is private, which would cut volumes off from what the host mounts below them.
      rootfsPropagation: "rslave",
      ...linux,
      ...usersOf(task),
      cgroupsPath: derived.runtimePath,
      ...(seccomp && "profile" in seccomp ? { seccomp: seccomp.profile } : {}),
    },
    ...(seccomp && "bytes" in seccomp ? { annotations: { ...spec.annotations, [SECCOMP_BYTES]: seccomp.bytes } } : {}),
  };
}

/** The user namespace, and its numbers: runtimes want to know them although they join. */
function usersOf({ spec, users, directory }: TaskSpec): Partial<RuntimeSpec["linux"]> {
  if (users === undefined) return {};
  const { map } = users;
  return {
    namespaces: [...spec.linux.namespaces, { type: "user", path: userNamespace(directory) }],
    uidMappings: map.uid,
    gidMappings: map.gid,
  };
}

/** A link to the descriptor, in the bundle: of a path below `/proc/<pid>`, runc 1.1.15 takes the numbers of that process for the namespace's. */
function userNamespace(directory: string): string {
  return `${directory}/user-namespace`;
}

/** Makes the directory of a task, and the one where its root is mounted. */
export function makePlaces(context: Context, { id, directory }: Pick<TaskSpec, "id" | "directory">): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  mkdirSync(mountPoint(context, id), { recursive: true, mode: 0o711 });
}

/** Makes the task's `config.json`, and its places where they are not there yet. Small files on the exec root's tmpfs: a few microseconds each. */
export function writeBundle(context: Context, task: TaskSpec, spec: RuntimeSpec): void {
  if (!context.early.has(task.id)) makePlaces(context, task);
  if (task.users !== undefined) {
    rmSync(userNamespace(task.directory), { force: true });
    symlinkSync(`/proc/${process.pid}/fd/${task.users.namespace}`, userNamespace(task.directory));
  }
  writeFileSync(`${task.directory}/config.json`, JSON.stringify(spec), { mode: 0o600 });
}
