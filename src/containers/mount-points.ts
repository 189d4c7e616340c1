import { join } from "node:path";
import type { MountPoint } from "../wire/engine-api.ts";
import type { Context } from "./context.ts";
import type { ContainerRow } from "./rows.ts";

/** A container's mounts as inspect and ps show them. */
export function mountPoints(context: Context, row: ContainerRow): MountPoint[] {
  return row.desired.mounts.map((mount): MountPoint => {
    const common = { Destination: mount.destination, Mode: mount.mode, RW: mount.rw, Propagation: mount.propagation };
    if (mount.type !== "volume") return { Type: mount.type, Source: mount.source, ...common };
    return {
      Type: "volume",
      Name: mount.source,
      Source: volumePath(context, mount.source),
      ...common,
      Driver: mount.driver ?? "local",
    };
  });
}

/** Where a local volume's files are. */
export function volumePath(context: Context, name: string): string {
  return join(context.needs.options.dataRoot, "volumes", name, "_data");
}
