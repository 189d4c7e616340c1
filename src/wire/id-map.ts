import { LighterError } from "../base/errors.ts";
import type { Mount } from "./engine-api.ts";

/** A user and a group by their numbers. */
export interface Ids {
  uid: number;
  gid: number;
}

/** Whose files of a mount are whose: `outside` defaults to the owner of what is mounted, `inside` to the user that the container runs as. */
export interface IdMap {
  outside?: Ids;
  inside?: Ids;
}

/** A mount of the Engine API with what Lighter adds, which other daemons ignore: `IdMap` as of {@link parseIdMap}. */
export type OwnMount = Mount & { Lighter?: { IdMap?: string } };

/** The highest number that a user can have: the one above means "none". */
export const LAST_ID = 4_294_967_294;

/** The value of `idmap` in `--mount`: empty, `UID:GID` (outside), or `UID:GID@UID:GID` (outside, inside). Throws `invalid`. */
export function parseIdMap(text: string): IdMap {
  if (text === "" || text === "true") return {};
  const [outside = "", inside, ...rest] = text.split("@");
  if (rest.length > 0) throw invalid(text);
  return {
    ...(outside === "" ? {} : { outside: parseIds(outside, text) }),
    ...(inside === undefined ? {} : { inside: parseIds(inside, text) }),
  };
}

function parseIds(pair: string, whole: string): Ids {
  const [uid = "", gid = "", ...rest] = pair.split(":");
  if (rest.length > 0 || !isId(uid) || !isId(gid)) throw invalid(whole);
  return { uid: Number(uid), gid: Number(gid) };
}

function isId(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= LAST_ID;
}

function invalid(text: string): LighterError {
  return new LighterError(
    "invalid",
    `invalid value for idmap: ${text}: it is UID:GID of the owner outside, or UID:GID@UID:GID with the user inside, in numbers`,
  );
}
