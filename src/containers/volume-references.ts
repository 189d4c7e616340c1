import type { Tx } from "../state/state.ts";
import type { Context } from "./context.ts";
import type { PlannedMount } from "./desired.ts";

/** Notes which volumes a container mounts; missing ones are made: their names. */
export function referenceVolumes(context: Context, tx: Tx, container: string, mounts: readonly PlannedMount[]): string[] {
  const made: string[] = [];
  for (const mount of mounts) {
    if (mount.type !== "volume") continue;
    const isNew = context.needs.volumes.reference(tx, {
      name: mount.source,
      anonymous: mount.anonymous ?? false,
      container,
      destination: mount.destination,
      ...(mount.driver === undefined ? {} : { driver: mount.driver }),
      ...(mount.driverOptions === undefined ? {} : { driverOptions: mount.driverOptions }),
      ...(mount.labels === undefined ? {} : { labels: mount.labels }),
    });
    if (isNew) made.push(mount.source);
  }
  return made;
}

/** As {@link referenceVolumes}, in the place of all that was noted before. Of two mounts at one place the first counts. */
export function keepVolumes(context: Context, tx: Tx, container: string, mounts: readonly PlannedMount[]): string[] {
  const places = new Map<string, PlannedMount>();
  for (const mount of mounts) if (!places.has(mount.destination)) places.set(mount.destination, mount);
  context.needs.volumes.unreference(tx, container);
  return referenceVolumes(context, tx, container, [...places.values()]);
}
