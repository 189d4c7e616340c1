import { isDeepStrictEqual } from "node:util";
import { LighterError, messageOf } from "../base/errors.ts";
import type { LiveMount, Task } from "../runtime/runtime.ts";
import type { Context } from "./context.ts";
import type { PlannedMount } from "./desired.ts";
import { layersOf, prepareMounts } from "./prepare.ts";
import type { ContainerRow } from "./rows.ts";
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
  for (const mount of byDepth(change.removed).toReversed()) await attempt(outcome, mount, () => take(context, row, task, mount, outcome));
  for (const mount of byDepth(change.added)) {
    if (outcome.mounts.some(({ destination }) => destination === mount.destination)) continue;
    await attempt(outcome, mount, () => give(task, mount, sources, outcome));
  }
  return outcome;
}

/** The host's side of mounts; volumes are made ready. */
function sourcesOf(context: Context, row: ContainerRow, mounts: PlannedMount[]): Promise<Map<string, MountSource>> {
  return prepareMounts(context, { ...row, desired: { ...row.desired, mounts } }, layersOf(context, row));
}

async function attempt(outcome: MountOutcome, mount: PlannedMount, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if ((error as { code?: string }).code === "ENOTDIR")
      throw new LighterError(
        "invalid",
        `Cannot mount at "${mount.destination}": a directory cannot be mounted on a file, nor a file on a directory`,
        {
          cause: error,
        },
      );
    const busy = (error as { code?: string }).code === "EBUSY";
    outcome.warnings.push(`mount "${mount.destination}" waits for the next start: ${busy ? "it is in use" : messageOf(error)}`);
  }
}

async function give(task: Task, mount: PlannedMount, sources: ReadonlyMap<string, MountSource>, outcome: MountOutcome): Promise<void> {
  await task.mount(liveMount(mount, sources));
  outcome.mounts.push(mount);
}

async function take(context: Context, row: ContainerRow, task: Task, mount: PlannedMount, outcome: MountOutcome): Promise<void> {
  if (mount.type === "tmpfs") throw new LighterError("unsupported", "a file system in memory stays until the container ends");
  const source = (await sourcesOf(context, row, [mount])).get(mount.destination)?.path ?? mount.source;
  if (!(await task.unmount(mount.destination, source))) throw new LighterError("conflict", "something else stands there by now");
  outcome.mounts = outcome.mounts.filter((one) => one !== mount);
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
