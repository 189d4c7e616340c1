import type { UserMap } from "../linux/user-namespace.ts";
import type { Context } from "./context.ts";
import type { PlannedMount } from "./desired.ts";
import type { ContainerRow } from "./rows.ts";
import { INIT_PATH } from "./spec.ts";

/** The binds of a container with users of its own whose files belong on the disk to the numbers inside: all that the daemon keeps for it. Binds of the user's show whom they belong to. */
export function mappedBinds(context: Context, row: ContainerRow, files: ReadonlyMap<string, unknown>): string[] {
  const { mounts } = row.desired;
  const own = mounts.filter((mount) => isMapped(context, mount));
  const asked = new Set(mounts.map(({ destination }) => destination));
  // The init program is the host's.
  const ours = [...files.keys()].filter((destination) => destination !== INIT_PATH && !asked.has(destination));
  return [...own.map(({ destination }) => destination), ...ours];
}

/** Whether what a mount shows is kept by the daemon, and belongs on the disk to the numbers inside. */
export function isMapped(context: Context, { type, source }: PlannedMount): boolean {
  return type === "image" || (type === "volume" && !isForeign(context, source));
}

/** Whose numbers on the host the files of such a mount have, where they are not kept for the container's users and it has users of its own. */
export function foreignUsers(context: Context, { desired: { users } }: ContainerRow, mount: PlannedMount): { users?: UserMap } {
  return users === undefined || isMapped(context, mount) ? {} : { users };
}

/** Whether a volume is something of the host's or of another machine, mounted. */
function isForeign(context: Context, name: string): boolean {
  return (context.needs.volumes.inspect(name).Options ?? {})["device"] !== undefined;
}
