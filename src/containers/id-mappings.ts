import { statSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import type { IdMapping } from "../oci/spec.ts";
import type { RuntimeRecord } from "../runtime/runtime.ts";
import { type IdMap, type Ids, LAST_ID } from "../wire/id-map.ts";
import type { PlannedMount } from "./desired.ts";

/** The `uidMappings` and `gidMappings` of a mount. */
export interface Mappings {
  uid: IdMapping[];
  gid: IdMapping[];
}

/**
 * What belongs to `outside` on the disk is `inside`'s in the container; all others are who they are. Nobody in the container is whoever `inside` is
 * on the disk, nor `outside` in the container: files of those show as nobody's and cannot be made.
 * https://docs.kernel.org/filesystems/idmappings.html
 */
export function mappingsOf(outside: Ids, inside: Ids): Mappings {
  return { uid: mapping(outside.uid, inside.uid), gid: mapping(outside.gid, inside.gid) };
}

/** `containerID` is the number on the disk, `hostID` the one that is seen. */
function mapping(outside: number, inside: number): IdMapping[] {
  const same = (first: number, last: number): IdMapping[] =>
    last < first ? [] : [{ containerID: first, hostID: first, size: last - first + 1 }];
  if (outside === inside) return same(0, LAST_ID);
  const [low, high] = [Math.min(outside, inside), Math.max(outside, inside)];
  return [...same(0, low - 1), { containerID: outside, hostID: inside, size: 1 }, ...same(low + 1, high - 1), ...same(high + 1, LAST_ID)];
}

/** The mappings of a mount, once its source is there; undefined where both sides are the same. */
export function resolveIdMap({ outside, inside }: IdMap, source: string, user: () => Ids): Mappings | undefined {
  const owner = outside ?? ownerOf(source);
  const who = inside ?? user();
  return owner.uid === who.uid && owner.gid === who.gid ? undefined : mappingsOf(owner, who);
}

function ownerOf(path: string): Ids {
  const { uid, gid } = statSync(path);
  return { uid, gid };
}

/** Refuses mounts whose owners are mapped where the container's runtime cannot do that. Throws `invalid`. */
export function checkIdMaps(mounts: readonly PlannedMount[], record: Pick<RuntimeRecord, "name" | "version" | "idmap">): void {
  const mapped = mounts.find(({ idMap }) => idMap !== undefined);
  if (mapped === undefined || record.idmap) return;
  throw new LighterError(
    "invalid",
    `Cannot map the owners of "${mapped.destination}": runtime "${record.name}" (${record.version}) does not do that; crun from 1.8 and runc from 1.2 on do, see --runtime`,
  );
}
