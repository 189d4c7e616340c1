import { chownSync, mkdirSync, readdirSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import type { Overlay, PlacedBind } from "../linux/spawn-protocol.ts";
import { rootOf } from "../linux/user-namespace.ts";
import type { Mount } from "../oci/spec.ts";
import { type Context, mountPoint } from "./context.ts";
import type { TaskSpec } from "./runtime.ts";

/** Where the root of a container is mounted: beside its binds, where it has other users. */
export function rootPath(context: Context, { id, users }: Pick<TaskSpec, "id" | "users">): string {
  return users === undefined ? mountPoint(context, id) : `${mountPoint(context, id)}/root`;
}

/**
 * The mounts of a container with other users, and what has to be mounted for them before. The runtime makes mounts as the container's root, who may not go where the host's
 * root may: every source is mounted at a place where he may.
 */
export function placedMounts(context: Context, { id, users, spec }: TaskSpec): { mounts: Mount[]; binds: PlacedBind[] } {
  if (users === undefined) return { mounts: spec.mounts, binds: [] };
  const binds: PlacedBind[] = [];
  const mounts = spec.mounts.map((mount) => {
    if (mount.type !== "bind" || mount.source === undefined) return mount;
    const place = `${mountPoint(context, id)}/${binds.length}`;
    const mapped = users.mapped.includes(mount.destination);
    binds.push({ source: mount.source, place, mapped, recursive: !mapped && mount.options?.includes("rbind") === true });
    return { ...mount, source: place };
  });
  return { mounts, binds };
}

/** The overlay of a container with what else is mounted beside it; its places are made. */
export function overlayOf(context: Context, spec: TaskSpec, binds: PlacedBind[]): Overlay {
  const overlay = { target: rootPath(context, spec), ...spec.rootfs };
  const { users } = spec;
  if (users === undefined) return overlay;
  mkdirSync(overlay.target, { mode: 0o711 });
  for (const { source, place } of binds) {
    if (statSync(source).isDirectory()) mkdirSync(place);
    else writeFileSync(place, "");
  }
  return { ...overlay, users: { namespace: users.namespace, root: rootOf(users.map) }, binds };
}

/** Gives the pipes among descriptors of a process to a user: a program opens /dev/stdout anew. What has ended has none. */
export function givePipes(pid: number, { uid, gid }: { uid: number; gid: number }): void {
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const path = `/proc/${pid}/fd/${fd}`;
      if (readlinkSync(path).startsWith("pipe:")) chownSync(path, uid, gid);
    }
  } catch (error) {
    if (!["ENOENT", "ESRCH"].includes((error as { code?: string }).code ?? "")) throw error;
  }
}
