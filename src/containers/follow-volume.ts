import { LighterError } from "../base/errors.ts";
import type { Tx } from "../state/state.ts";
import { change, type Context } from "./context.ts";
import type { Desired } from "./desired.ts";
import { type ContainerRow, rowById, setDesired } from "./rows.ts";

/** Changes the volume's name in the rows of those that have it, in the transaction that gives it another one. */
export type Follow = (tx: Tx, users: readonly string[], from: string, to: string) => void;

const AT_REST = new Set(["created", "exited", "dead"]);

/** Holds containers, none of which may run, while `work` renames a volume that they have. Throws `conflict`. */
export async function whileAtRest(
  context: Context,
  ids: readonly string[],
  volume: string,
  work: (follow: Follow) => Promise<void>,
): Promise<void> {
  const held = new Set<string>();
  const follow: Follow = (tx, users, from, to) => {
    for (const id of users) {
      const row = rowById(tx, id);
      if (row === undefined) continue;
      if (!held.has(id)) throw inUse(volume, row);
      setDesired(tx, id, withVolume(row.desired, from, to));
    }
  };
  // In one order, so that two that rename do not wait for each other.
  const hold = ([id, ...rest]: readonly string[]): Promise<void> => {
    if (id === undefined) return work(follow);
    return change(context, id, (row) => {
      if (!AT_REST.has(row.status)) throw inUse(volume, row);
      held.add(id);
      return hold(rest);
    });
  };
  await hold(ids.toSorted());
}

function inUse(volume: string, { name, status }: ContainerRow): LighterError {
  return new LighterError("conflict", `rename ${volume}: volume is in use: container "${name}" is ${status}: stop it first`);
}

/** What was asked for, with the volume's new name in all places. */
export function withVolume(desired: Desired, from: string, to: string): Desired {
  const { hostConfig: host } = desired;
  const bind = (spec: string): string => (spec.startsWith(`${from}:`) ? `${to}${spec.slice(from.length)}` : spec);
  return {
    ...desired,
    mounts: desired.mounts.map((mount) => (mount.type === "volume" && mount.source === from ? { ...mount, source: to } : mount)),
    hostConfig: {
      ...host,
      ...(host.Binds && { Binds: host.Binds.map(bind) }),
      ...(host.Mounts && {
        Mounts: host.Mounts.map((mount) => (mount.Type === "volume" && mount.Source === from ? { ...mount, Source: to } : mount)),
      }),
    },
  };
}
