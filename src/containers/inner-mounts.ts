import { kindOf } from "../base/errors.ts";
import type { MountedSource } from "../content/mounted-roots.ts";
import { cleanPath } from "./bind-spec.ts";
import type { Context } from "./context.ts";
import { layersOf, prepareMounts } from "./prepare.ts";
import type { ContainerRow } from "./rows.ts";
import { foreignUsers } from "./user-binds.ts";

/**
 * The binds and volumes below a path of a container that does not run: nothing is mounted there then, and an archive would be without them, or be unpacked below them. A bind
 * whose source has gone is left out, and so are parts of volumes. The volumes are held until the container's are released.
 */
export async function innerMounts(context: Context, row: ContainerRow, path: string, signal: AbortSignal): Promise<MountedSource[]> {
  const top = cleanPath(`/${path}`).replace(/\/$/, "");
  const found: MountedSource[] = [];
  for (const mount of row.desired.mounts) {
    if (!mount.destination.startsWith(`${top}/`) || mount.subpath !== undefined) continue;
    if (mount.type !== "bind" && mount.type !== "volume") continue;
    const alone = { ...row, desired: { ...row.desired, mounts: [mount] } };
    try {
      const source = (await prepareMounts(context, alone, layersOf(context, row), signal)).get(mount.destination);
      if (source === undefined) continue;
      found.push({
        path: mount.destination.slice(top.length),
        source: source.path,
        readOnly: !mount.rw,
        ...foreignUsers(context, row, mount),
      });
    } catch (error) {
      if (kindOf(error) !== "invalid" && kindOf(error) !== "not-found") throw error;
    }
  }
  return found;
}
