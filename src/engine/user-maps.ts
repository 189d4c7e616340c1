import { LighterError } from "../base/errors.ts";
import type { IdRange, UserMap } from "../linux/user-namespace.ts";

/** What the files of that name in /etc hold. */
export interface Accounts {
  passwd: string;
  group: string;
  subuid: string;
  subgid: string;
}

/** Some of a user's subordinate numbers. */
export interface SubordinateRange {
  owner: string;
  first: number;
  count: number;
}

/**
 * The numbers that `USER`, `USER:GROUP`, `UID` or `UID:GID` means: those that /etc/subuid and /etc/subgid give, from 0 on in the order of the host's. Undefined for root.
 * Throws `invalid`. https://man7.org/linux/man-pages/man5/subuid.5.html
 */
export function remapOf(spec: string, accounts: Accounts): UserMap | undefined {
  const refuse = (why: string): never => {
    throw new LighterError("invalid", `Cannot use "userns-remap": ${JSON.stringify(spec)}: ${why}`);
  };
  const [userPart = "", groupPart = userPart, ...rest] = spec.split(":");
  if (rest.length > 0 || userPart === "" || groupPart === "") refuse("it is default, USER, USER:GROUP, UID or UID:GID");
  const user = findAccount(accounts.passwd, userPart) ?? refuse(`there is no user ${JSON.stringify(userPart)} in /etc/passwd`);
  const group = findAccount(accounts.group, groupPart) ?? refuse(`there is no group ${JSON.stringify(groupPart)} in /etc/group`);
  if (user.name === "root") return undefined;
  const uid = mapOf(accounts.subuid, user) ?? refuse(`/etc/subuid gives user ${JSON.stringify(user.name)} no numbers`);
  const gid = mapOf(accounts.subgid, group) ?? mapOf(accounts.subgid, user);
  return { uid, gid: gid ?? refuse(`/etc/subgid gives ${JSON.stringify(group.name)} no numbers`) };
}

interface Account {
  name: string;
  id: string;
}

/** The line of a name or number in passwd(5) or group(5): both begin with a name and have the number third. */
export function findAccount(file: string, wanted: string): Account | undefined {
  const accounts = lines(file).map(([name = "", , id = ""]) => ({ name, id }));
  return accounts.find(({ name }) => name === wanted) ?? accounts.find(({ id }) => /^\d+$/.test(wanted) && Number(id) === Number(wanted));
}

function lines(file: string): string[][] {
  return file.split("\n").flatMap((line) => (line.trim() === "" || line.startsWith("#") ? [] : [line.split(":")]));
}

/** All ranges of /etc/subuid or /etc/subgid. */
export function subordinateRanges(file: string): SubordinateRange[] {
  return lines(file).flatMap(([owner = "", first = "", count = ""]) =>
    /^\d+$/.test(first) && Number(count) > 0 ? [{ owner, first: Number(first), count: Number(count) }] : [],
  );
}

function mapOf(file: string, { name, id }: Account): IdRange[] | undefined {
  const own = subordinateRanges(file)
    .filter(({ owner }) => owner === name || owner === id)
    .sort((a, b) => a.first - b.first);
  if (own.length === 0) return undefined;
  let next = 0;
  return own.map(({ first, count }) => {
    const range = { containerID: next, hostID: first, size: count };
    next += count;
    return range;
  });
}
