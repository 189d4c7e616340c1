import { LighterError } from "../base/errors.ts";

/** The files of the container's root that name users and groups; empty where there are none. */
export interface UserFiles {
  passwd: string;
  group: string;
}

/** Who a process is. */
export interface User {
  uid: number;
  gid: number;
  additionalGids: number[];
  home: string;
}

const MOST = 2 ** 31 - 1;

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

/**
 * The user that `--user` means (`name`, `uid`, `name:group`, `uid:gid`) in the container's own files, with the supplementary groups.
 * A number needs no entry. Throws `invalid` with Docker's texts.
 */
export function resolveUser(spec: string, files: UserFiles, groupAdd: readonly string[] = []): User {
  const [userText = "", groupText = ""] = spec.split(":", 2);
  const entries = parsePasswd(files.passwd);
  const uidText = userText === "" ? "0" : userText;
  const number = numeric(uidText);
  const entry = entries.find(({ name, uid }) => name === uidText || uid === number);
  if (entry === undefined && number === undefined)
    throw new LighterError("invalid", `unable to find user ${userText}: no matching entries in passwd file`);
  const uid = entry?.uid ?? checkRange(number ?? 0);
  const groups = parseGroup(files.group);
  const sgids =
    groupText === "" && entry !== undefined ? groups.filter(({ members }) => members.includes(entry.name)).map(({ gid }) => gid) : [];
  const gid = groupText === "" ? (entry?.gid ?? 0) : groupId(groupText, groups);
  const added = groupAdd.map((name) => groupId(name, groups));
  return { uid, gid, additionalGids: [...new Set([gid, ...sgids, ...added])], home: entry?.home || "/" };
}

function groupId(text: string, groups: GroupEntry[]): number {
  const number = numeric(text);
  const entry = groups.find(({ name, gid }) => name === text || gid === number);
  if (entry !== undefined) return entry.gid;
  if (number === undefined) throw new LighterError("invalid", `unable to find group ${text}: no matching entries in group file`);
  return checkRange(number);
}

function numeric(text: string): number | undefined {
  return /^-?\d+$/.test(text) ? Number(text) : undefined;
}

function checkRange(number: number): number {
  if (number < 0 || number > MOST) throw new LighterError("invalid", `uids and gids must be in range 0-${MOST}`);
  return number;
}

function parsePasswd(text: string): PasswdEntry[] {
  return fields(text).flatMap(([name = "", , uid = "", gid = "", , home = ""]) =>
    numeric(uid) === undefined ? [] : [{ name, uid: Number(uid), gid: Number(gid) || 0, home }],
  );
}

function parseGroup(text: string): GroupEntry[] {
  return fields(text).flatMap(([name = "", , gid = "", members = ""]) =>
    numeric(gid) === undefined ? [] : [{ name, gid: Number(gid), members: members.split(",").filter((member) => member !== "") }],
  );
}

function fields(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}
