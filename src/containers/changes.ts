import { diffUpper } from "../content/trees.ts";
import { type Context, find, liveOf } from "./context.ts";
import { hasDirectories } from "./directories.ts";
import { INIT_FILES } from "./init-files.ts";
import { pathsOf } from "./paths.ts";
import { stackOf } from "./prepare.ts";
import { ready } from "./ready.ts";
import type { ContainerRow } from "./rows.ts";
import { INIT_PATH } from "./spec.ts";

const KINDS = { C: 0, A: 1, D: 2 } as const;

/** Made for every container, most of them by the runtime for mounts: no change of the container's. */
export const MOUNT_POINTS: readonly string[] = [...INIT_FILES.filter((path) => path !== "/etc"), INIT_PATH];

/** One line of `docker diff`: 0 changed, 1 added, 2 deleted. */
export interface PathChange {
  Path: string;
  Kind: 0 | 1 | 2;
}

/** What a container has changed in its image's files. */
export async function containerChanges(context: Context, reference: string): Promise<PathChange[]> {
  const row = find(context, reference);
  if (!hasDirectories(context, row.id)) await liveOf(context, row.id).lock.run(async () => await ready(context, row));
  return changesOf(context, row);
}

/** The same of a container whose directories are made. `copied` names files that were only copied up, too. */
export async function changesOf(context: Context, row: ContainerRow, options: { copied?: boolean } = {}): Promise<PathChange[]> {
  const { upper } = pathsOf(context.needs.options, row.id);
  const whole = context.needs.options.copies === true;
  const changes = await diffUpper({ upper, lower: stackOf(context, row), mountPoints: MOUNT_POINTS, whole, ...options });
  return changes.map(({ path, kind }) => ({ Path: path, Kind: KINDS[kind] }));
}

/** What of the upper directory is there for mounts alone, given all that was changed: a layer made of it leaves that out. Absolute paths. */
export function mountPathsBeside(changes: readonly PathChange[]): string[] {
  const kept = new Set(changes.map(({ Path }) => Path));
  return MOUNT_PATHS.filter((path) => !kept.has(path));
}

/** The mount points and all directories on the way to them. */
const MOUNT_PATHS: readonly string[] = [
  ...new Set(MOUNT_POINTS.flatMap((point) => point.split("/").map((_, index, parts) => parts.slice(0, index + 1).join("/")))),
].filter((path) => path !== "");
