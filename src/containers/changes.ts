import { diffUpper } from "../content/trees.ts";
import { type Context, find } from "./context.ts";
import { pathsOf } from "./paths.ts";
import { layersOf } from "./prepare.ts";
import { INIT_PATH } from "./spec.ts";

const KINDS = { C: 0, A: 1, D: 2 } as const;

/** Made for every container, most of them by the runtime for mounts: no change of the container's. */
const MOUNT_POINTS = ["/.dockerenv", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev", "/proc", "/sys", INIT_PATH];

/** One line of `docker diff`: 0 changed, 1 added, 2 deleted. */
export interface PathChange {
  Path: string;
  Kind: 0 | 1 | 2;
}

/** What a container has changed in its image's files. */
export async function containerChanges(context: Context, reference: string): Promise<PathChange[]> {
  const row = find(context, reference);
  const { upper } = pathsOf(context.needs.options, row.id);
  const changes = await diffUpper({ upper, lower: layersOf(context, row) });
  return withoutMountPoints(changes.map(({ path, kind }) => ({ Path: path, Kind: KINDS[kind] })));
}

/** Leaves out mount points, and parents that are there for their sake alone. */
export function withoutMountPoints(changes: PathChange[]): PathChange[] {
  const own = changes.filter(({ Path }) => !MOUNT_POINTS.includes(Path));
  if (own.length === changes.length) return own;
  return own.filter(({ Path, Kind }) => {
    const forMounts = MOUNT_POINTS.some((point) => point.startsWith(`${Path}/`));
    return Kind === 2 || !forMounts || own.some((other) => other.Path.startsWith(`${Path}/`));
  });
}
