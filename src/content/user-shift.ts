import { LighterError } from "../base/errors.ts";
import type { IdRange, UserMap } from "../linux/user-namespace.ts";

interface Owned {
  uid: number;
  gid: number;
}

/** Who the kernel shows where a number has none. */
const NOBODY = 65534;

/** Whom a file of the host's numbers belongs to inside of a user namespace. */
export function insideOf(map: UserMap, { uid, gid }: Owned): Owned {
  const inside = (ranges: readonly IdRange[], id: number): number => {
    const range = ranges.find(({ hostID, size }) => id >= hostID && id < hostID + size);
    return range === undefined ? NOBODY : id - range.hostID + range.containerID;
  };
  return { uid: inside(map.uid, uid), gid: inside(map.gid, gid) };
}

/** The host's numbers of an owner inside of a user namespace; nobody's for numbers that it does not have. */
export function hostOwnerOf(map: UserMap, { uid, gid }: Owned): Owned {
  return { uid: outside(map.uid, uid) ?? NOBODY, gid: outside(map.gid, gid) ?? NOBODY };
}

function outside(ranges: readonly IdRange[], id: number): number | undefined {
  const range = ranges.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range && id - range.containerID + range.hostID;
}

/** The host's numbers of an owner inside of a user namespace. Throws `invalid` for a number that it does not have. */
export function outsideOf(map: UserMap, { uid, gid }: Owned): Owned {
  const known = (ranges: readonly IdRange[], id: number, what: string): number => {
    const found = outside(ranges, id);
    if (found === undefined) throw new LighterError("invalid", `the container has no ${what} ${id}: its user namespace ends before`);
    return found;
  };
  return { uid: known(map.uid, uid, "user"), gid: known(map.gid, gid, "group") };
}
