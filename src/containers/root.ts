import { statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { kindOf, LighterError } from "../base/errors.ts";
import { closeFd, O_PATH, openFd } from "../linux/fd.ts";
import { isAlive, type ProcessName } from "../linux/process.ts";
import { cleanPath } from "./bind-spec.ts";
import { type Context, isRunning, liveOf } from "./context.ts";
import { refuseDebugged } from "./debug.ts";
import { hasDirectories } from "./directories.ts";
import type { Live } from "./live.ts";
import { pathsOf } from "./paths.ts";
import { layersOf, volumeSource } from "./prepare.ts";
import { ready } from "./ready.ts";
import type { ContainerRow } from "./rows.ts";
import { makeWorkingDirectory } from "./working-directory.ts";
import type { UserMap } from "../linux/user-namespace.ts";
import { foreignUsers } from "./user-binds.ts";

/** A place in a container's files: a root that look-ups cannot leave, and a path in it. */
export interface Place {
  root: string;
  path: string;
  /** What it is called in the container, where `path` does not tell: the place of a mount. */
  name?: string;
  /** What it is a part of, where nothing may be written there. */
  readOnly: "container rootfs" | "mounted volume" | undefined;
  /** The files are seen from the host, with the host's numbers of these users. */
  users?: UserMap;
  /** Lets go of what was opened for it. */
  close(): void;
}

/**
 * Opens the files of a container for `cp`: of a running one through its first process, of another one as a mount that is attached nowhere,
 * with its volumes where they will be. A container that does not run must be held by its lock meanwhile.
 */
export async function openPlace(context: Context, row: ContainerRow, live: Live, path: string): Promise<Place> {
  const absolute = lexicalPath(path);
  const readOnlyRoot = row.desired.hostConfig.ReadonlyRootfs ?? false;
  const covering = coveringMount(row, cleanPath(absolute));
  const readOnly = covering === undefined ? (readOnlyRoot ? "container rootfs" : undefined) : covering.rw ? undefined : "mounted volume";
  if (isRunning(row) && live.task !== undefined) {
    const fd = openRunning(row, live.task.record.init);
    const { users } = row.desired;
    return { root: `/proc/self/fd/${fd}`, path: absolute, readOnly, ...(users && { users }), close: () => closeFd(fd) };
  }
  if (covering !== undefined && (covering.type === "volume" || covering.type === "bind")) {
    const close = (): void => void context.needs.volumes.release(row.id);
    try {
      const source = covering.type === "volume" ? await volumeSource(context, row, covering, layersOf(context, row)) : covering.source;
      const place = placeBelow(typeof source === "string" ? source : source.path, absolute, covering.destination);
      return { ...place, readOnly, ...foreignUsers(context, row, covering), close };
    } catch (error) {
      close();
      throw error;
    }
  }
  refuseDebugged(context, row, "copy files of");
  await ready(context, row);
  const fd = await openStopped(context, row);
  if (!row.hasRun) makeWorkingDirectory(fd, row.desired.config.WorkingDir ?? "");
  return { root: `/proc/self/fd/${fd}`, path: absolute, readOnly, close: () => closeFd(fd) };
}

/** A path from the root on, without `..`: Docker takes those by their words, whatever links lead elsewhere. A slash or `/.` at its end stays. */
export function lexicalPath(path: string): string {
  const clean = cleanPath(`/${path}`);
  const end = /(?:^|\/)\.\/*$/.test(path) ? "/." : path.endsWith("/") ? "/" : "";
  return clean === "/" ? (end === "/." ? "/." : "/") : `${clean}${end}`;
}

/** A mount of everything that a container has of its own and of its image, for reading; also while it runs. */
export async function openView(context: Context, row: ContainerRow): Promise<{ root: string; close(): void }> {
  if (!hasDirectories(context, row.id)) await liveOf(context, row.id).lock.run(async () => await ready(context, row));
  const { upper } = pathsOf(context.needs.options, row.id);
  const fd = await context.needs.runtime.openRoot({ lower: [upper, ...layersOf(context, row)], upper: "", work: "", volatile: false });
  return { root: `/proc/self/fd/${fd}`, close: () => closeFd(fd) };
}

/** The root of a container's first process. It may end at any time, and its pid be another's: what was opened must have been its own. */
function openRunning(row: ContainerRow, init: ProcessName): number {
  let fd = -1;
  try {
    fd = openFd(`/proc/${init.pid}/root`, O_PATH);
  } catch (cause) {
    // One that has ended but was not reaped yet has no root.
    if (kindOf(cause) !== "not-found") throw cause;
  }
  if (fd >= 0 && isAlive(init)) return fd;
  closeFd(fd);
  throw new LighterError("conflict", `container ${row.id} is not running`);
}

function openStopped(context: Context, row: ContainerRow): Promise<number> {
  const { upper, work } = pathsOf(context.needs.options, row.id);
  const lower = layersOf(context, row);
  return context.needs.runtime.openRoot({ lower, upper, work: lower.length === 0 ? "" : work, volatile: false });
}

/** The innermost mount of the user's that a path lies in. */
export function coveringMount(row: ContainerRow, path: string): ContainerRow["desired"]["mounts"][number] | undefined {
  return row.desired.mounts
    .filter(({ destination }) => path === destination || path.startsWith(`${destination}/`))
    .sort((a, b) => b.destination.length - a.destination.length)[0];
}

/** The place below a mount's source; a source may be a single file. */
function placeBelow(source: string, path: string, destination: string): Pick<Place, "root" | "path" | "name"> {
  const below = cleanPath(path).slice(destination.length);
  const rest = below + (/\/\.?$/.test(path) ? "/." : "") || "/";
  const name = below === "" ? { name: basename(destination) } : {};
  try {
    if (statSync(source).isDirectory()) return { root: source, path: rest, ...name };
  } catch (cause) {
    throw new LighterError("not-found", `lstat ${join(source, rest)}: no such file or directory`, { cause });
  }
  return { root: dirname(source), path: `/${basename(source)}`, ...name };
}
