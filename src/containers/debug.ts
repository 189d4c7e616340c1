import { mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import type { Lease } from "../content/content.ts";
import { copyStack } from "../content/trees.ts";
import { isAlive } from "../linux/process.ts";
import type { Mount, RuntimeSpec } from "../oci/spec.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { type Context, current, find, isRunning, liveOf } from "./context.ts";
import { pathsOf } from "./paths.ts";
import { layersOf, prepareMounts } from "./prepare.ts";
import { ready } from "./ready.ts";
import { allRows, type ContainerRow, rowById } from "./rows.ts";
import { mountsBelow } from "./spec-mounts.ts";

/** What a container of tools is made for: ours beside Docker's HostConfig, kept with the container. */
export interface DebugTarget {
  /** Id of a container: its namespaces while it runs, else its files. */
  DebugContainer?: string;
  /** An image: its files, changes are thrown away. */
  DebugImage?: string;
}

/** Where a container of tools finds the files that it looks at. */
export const TARGET = "/target";
/** The kernel takes one page of options for a mount. */
const OPTION_BYTES = 4000;

/** The target of a container of tools. */
export function debugTarget(host: HostConfig & DebugTarget): DebugTarget | undefined {
  return host.DebugContainer || host.DebugImage ? host : undefined;
}

/** Makes the container that is named its id; throws `not-found`. */
export function nameTarget(context: Context, host: HostConfig & DebugTarget): void {
  if (host.DebugContainer) host.DebugContainer = find(context, host.DebugContainer).id;
}

/** What a start has to do to its specification, and to check once the process is there. */
export interface DebugPlan {
  edit(spec: RuntimeSpec): void;
  check(): void;
}

/** Prepares the start of a container of tools: joins a container that runs, or mounts the files of one that does not, or of an image. */
export async function prepareDebug(context: Context, row: ContainerRow): Promise<DebugPlan | undefined> {
  const target = debugTarget(row.desired.hostConfig);
  if (target === undefined) return undefined;
  if (target.DebugImage) return filesPlan(await imageFiles(context, row, target.DebugImage));
  const { id } = find(context, target.DebugContainer ?? "");
  return liveOf(context, id).lock.run(async () => {
    const other = current(context, id);
    if (isRunning(other) && other.task !== undefined) return joinPlan(context, row, other);
    await ready(context, other);
    const plan = filesPlan(await containerFiles(context, other));
    sessionsOf(context, id).add(row.id);
    return plan;
  });
}

/** Joins all namespaces but that of mounts; the files are seen through the first process. */
function joinPlan(context: Context, row: ContainerRow, other: ContainerRow): DebugPlan {
  const init = other.task?.init;
  if (init === undefined) throw new LighterError("conflict", `container ${other.id} is not running`);
  const link = `${pathsOf(context.needs.options, row.id).upper}${TARGET}`;
  rmSync(link, { force: true });
  symlinkSync(`/proc/${pidInside(init.pid)}/root`, link);
  return {
    edit: (spec) => {
      const joined = new Map([
        ["pid", "pid"],
        ["ipc", "ipc"],
        ["uts", "uts"],
      ]);
      const others = spec.linux.namespaces.filter(({ type }) => !joined.has(type));
      spec.linux.namespaces = [
        ...others,
        ...[...joined].map(([type, file]) => ({ type, path: `/proc/${init.pid}/ns/${file}` }) as (typeof others)[number]),
      ];
      // It would be set in the other's namespace.
      delete spec.hostname;
      if (spec.linux.sysctl) delete spec.linux.sysctl["kernel.domainname"];
    },
    check: () => {
      if (!isAlive(init)) throw new LighterError("conflict", `cannot join namespaces of a non running container: ${other.id}`);
    },
  };
}

/** A process's number in its own pid namespace. */
function pidInside(pid: number): string {
  const numbers = /^NSpid:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return numbers?.trim().split(/\s+/).at(-1) ?? "1";
}

interface Files {
  lower: string[];
  upper: string;
  work: string;
  mounts: Mount[];
  what: string;
}

async function containerFiles(context: Context, other: ContainerRow): Promise<Files> {
  const { upper, work } = pathsOf(context.needs.options, other.id);
  const lower = layersOf(context, other);
  const sources = await prepareMounts(context, other, lower);
  return { lower, upper, work, mounts: mountsBelow(TARGET, other.desired.mounts, sources), what: `container "${other.name}"` };
}

async function imageFiles(context: Context, row: ContainerRow, image: string): Promise<Files> {
  const { content, images, options } = context.needs;
  // Its layers stay for as long as they are looked at, even when the image is removed.
  const lease = content.lease(`debug ${row.id}`);
  leases.set(row.id, lease);
  const { layers, manifest, chainId } = await images.runnable(image);
  lease.addBlob(manifest);
  if (chainId !== undefined) lease.addLayer(chainId);
  const { directory, empty } = pathsOf(options, row.id);
  const [upper, work] = [`${directory}/debug/upper`, `${directory}/debug/work`];
  for (const path of [upper, work, empty]) mkdirSync(path, { recursive: true });
  if (options.copies === true) {
    await copyStack({ layers, target: upper });
    return { lower: [], upper, work: "", mounts: [], what: `image "${image}"` };
  }
  return { lower: layers.length === 0 ? [empty] : layers, upper, work, mounts: [], what: `image "${image}"` };
}

function filesPlan({ lower, upper, work, mounts, what }: Files): DebugPlan {
  if (lower.length === 0) {
    const bind: Mount = { destination: TARGET, type: "bind", source: upper, options: ["rbind", "rprivate"] };
    return { edit: (spec) => void spec.mounts.push(bind, ...mounts), check: () => undefined };
  }
  const options = [`lowerdir=${lower.join(":")}`, `upperdir=${upper}`, `workdir=${work}`, "redirect_dir=off", "metacopy=off", "index=off"];
  if (Buffer.byteLength(options.join(",")) > OPTION_BYTES)
    throw new LighterError("unsupported", `Cannot debug ${what}: its ${lower.length} layers are more than one mount takes`);
  return {
    edit: (spec) => void spec.mounts.push({ destination: TARGET, type: "overlay", source: "overlay", options }, ...mounts),
    check: () => undefined,
  };
}

const leases = new Map<string, Lease>();
const sessions = new WeakMap<Context, Map<string, Set<string>>>();

/** The containers of tools that have a container's files mounted; after a restart of the daemon as the rows say. */
function sessionsOf(context: Context, target: string): Set<string> {
  let all = sessions.get(context);
  if (all === undefined) {
    sessions.set(context, (all = new Map()));
    for (const row of allRows(context.needs.state)) {
      const of = debugTarget(row.desired.hostConfig)?.DebugContainer;
      const other = of && isRunning(row) ? rowById(context.needs.state, of) : undefined;
      if (other === undefined) continue;
      // One that ran at that time was joined.
      const joined = other.started < row.started && (isRunning(other) || other.finished > row.started);
      if (!joined) all.set(other.id, (all.get(other.id) ?? new Set()).add(row.id));
    }
  }
  let own = all.get(target);
  if (own === undefined) all.set(target, (own = new Set()));
  return own;
}

/** A container of tools has ended: what it looked at is free again. */
export function endDebug(context: Context, row: ContainerRow): void {
  const target = debugTarget(row.desired.hostConfig);
  if (target === undefined) return;
  if (target.DebugContainer) sessionsOf(context, target.DebugContainer).delete(row.id);
  leases.get(row.id)?.release();
  leases.delete(row.id);
}

/** Throws `conflict` while a container's files are mounted in a container of tools: nobody else may mount them. */
export function refuseDebugged(context: Context, row: ContainerRow, act: string): void {
  const [session] = sessionsOf(context, row.id);
  if (session === undefined) return;
  const name = rowById(context.needs.state, session)?.name ?? session;
  throw new LighterError("conflict", `Cannot ${act} container "${row.name}": its files are open in the debug session "${name}"`);
}
