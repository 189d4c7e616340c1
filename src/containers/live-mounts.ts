import { isDeepStrictEqual } from "node:util";
import { LighterError, messageOf } from "../base/errors.ts";
import { rootOf } from "../linux/user-namespace.ts";
import type { LiveMount, Task } from "../runtime/runtime.ts";
import type { Context } from "./context.ts";
import type { PlannedMount } from "./desired.ts";
import { layersOf, prepareMounts } from "./prepare.ts";
import type { ContainerRow } from "./rows.ts";
import { isMapped } from "./user-binds.ts";
import { type MountSource, tmpfsMount } from "./spec-mounts.ts";

/** Which mounts a running container is to get and to lose. */
export interface MountChange {
  added: PlannedMount[];
  removed: PlannedMount[];
}

/** What was done of a change; the reasons why the rest waits for the next start. */
export interface MountOutcome {
  mounts: PlannedMount[];
  warnings: string[];
}

/** What differs between the mounts of a process and those asked for; a mount that changed is removed and added. */
export function mountsBetween(has: readonly PlannedMount[], wanted: readonly PlannedMount[]): MountChange {
  const without = (list: readonly PlannedMount[], others: readonly PlannedMount[]): PlannedMount[] =>
    list.filter((mount) => !others.some((other) => isDeepStrictEqual(mount, other)));
  return { added: without(wanted, has), removed: without(has, wanted) };
}

/** Changes the mounts of a running container as far as the kernel allows. Throws `invalid` where a source is missing, before anything is done. */
export async function changeMounts(
  context: Context,
  row: ContainerRow,
  task: Task,
  has: readonly PlannedMount[],
  change: MountChange,
): Promise<MountOutcome> {
  const sources = await sourcesOf(context, row, change.added);
  const outcome: MountOutcome = { mounts: [...has], warnings: [] };
  for (const mount of byDepth(change.removed).toReversed()) await take(context, row, task, mount, outcome);
  for (const mount of byDepth(change.added)) {
    if (outcome.mounts.some(({ destination }) => destination === mount.destination)) continue;
    const { users } = row.desired;
    await give(task, mount, sources, outcome, users && { root: rootOf(users), mapped: isMapped(context, mount) });
  }
  await context.needs.volumes.release(row.id, new Set(outcome.mounts.map(({ source }) => source)));
  return outcome;
}

/** The host's side of mounts; volumes are made ready. */
function sourcesOf(context: Context, row: ContainerRow, mounts: PlannedMount[]): Promise<Map<string, MountSource>> {
  return prepareMounts(context, { ...row, desired: { ...row.desired, mounts } }, layersOf(context, row));
}

/** What stays, or cannot come, while the container runs, and can at its next start; the rest could not be then either. */
const LATER: Readonly<Record<string, string>> = {
  EBUSY: "it is in use",
  EROFS: "its place has to be made first, and the container's root is read-only",
  ESRCH: "the container has just ended",
  EPERM: "this kernel does not allow it now",
  ENOSYS: "this kernel cannot do it now",
  EOPNOTSUPP: "this kernel cannot do it now",
};

function later(outcome: MountOutcome, mount: PlannedMount, why: string): void {
  outcome.warnings.push(`mount "${mount.destination}" waits for the next start: ${why}`);
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? "";
}

async function give(
  task: Task,
  mount: PlannedMount,
  sources: ReadonlyMap<string, MountSource>,
  outcome: MountOutcome,
  users: LiveMount["users"],
): Promise<void> {
  if (sources.get(mount.destination)?.mappings !== undefined) return later(outcome, mount, "its owners are mapped by a start only");
  try {
    await task.mount({ ...liveMount(mount, sources), ...(users && { users }) });
    outcome.mounts.push(mount);
  } catch (error) {
    const code = codeOf(error);
    if (LATER[code] !== undefined) return later(outcome, mount, LATER[code]);
    const why = code === "ENOTDIR" ? "a directory cannot be mounted on a file, nor a file on a directory" : messageOf(error);
    throw new LighterError("invalid", `Cannot mount at "${mount.destination}": ${why}`, { cause: error });
  }
}

async function take(context: Context, row: ContainerRow, task: Task, mount: PlannedMount, outcome: MountOutcome): Promise<void> {
  if (mount.type === "tmpfs") return later(outcome, mount, "a file system in memory stays until the container ends");
  try {
    const source = (await sourcesOf(context, row, [mount])).get(mount.destination)?.path ?? mount.source;
    if (!(await task.unmount(mount.destination, source))) return later(outcome, mount, "something else stands there by now");
    outcome.mounts = outcome.mounts.filter((one) => one !== mount);
  } catch (error) {
    later(outcome, mount, LATER[codeOf(error)] ?? messageOf(error));
  }
}

function liveMount(mount: PlannedMount, sources: ReadonlyMap<string, MountSource>): LiveMount {
  const { destination, propagation } = mount;
  if (mount.type === "tmpfs") {
    const { options = [] } = tmpfsMount(destination, mount.tmpfsOptions ?? []);
    return { destination, source: { tmpfs: options }, readOnly: "no", propagation: "" };
  }
  const { path, directory, identity } = sources.get(destination) ?? { path: mount.source, directory: true, identity: undefined };
  if (mount.type === "image" && path.includes(":"))
    return { destination, source: { layers: path.split(":") }, readOnly: "top", propagation };
  const deep = mount.type === "bind" && directory && !mount.readOnlyNonRecursive && !mount.nonRecursive;
  const source = { bind: path, recursive: !mount.nonRecursive, ...(identity === undefined ? {} : { identity }) };
  return { destination, source, readOnly: mount.rw ? "no" : deep ? "all" : "top", propagation };
}

function byDepth(mounts: readonly PlannedMount[]): PlannedMount[] {
  return mounts.toSorted((a, b) => a.destination.split("/").length - b.destination.split("/").length);
}
