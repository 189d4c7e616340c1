import { readFileSync, writeFileSync } from "node:fs";
import { closeFd, makePipe, openFd, writeAll } from "./fd.ts";
import { poller } from "./epoll.ts";
import { LighterError } from "../base/errors.ts";
import { nativeProgram } from "./native-program.ts";
import { openPidfd, reap } from "./pidfd.ts";
import { sealedCopy } from "./sealed-program.ts";

/** A run of user or group numbers: `containerID` inside is `hostID` on the host, and so on. */
export interface IdRange {
  containerID: number;
  hostID: number;
  size: number;
}

/** Whose numbers are whose in a user namespace. */
export interface UserMap {
  uid: IdRange[];
  gid: IdRange[];
}

/** The host's numbers of the root of a user namespace. */
export function rootOf({ uid, gid }: UserMap): { uid: number; gid: number } {
  const first = (ranges: IdRange[]): number => ranges.find(({ containerID }) => containerID === 0)?.hostID ?? 0;
  return { uid: first(uid), gid: first(gid) };
}

/** Namespaces that nothing names but these descriptors. */
export interface OwnNamespaces {
  user: number;
  /** Owned by the user namespace, with nothing in it: what its root may change. */
  network: number;
}

/** Starts a program with exactly these descriptors; resolves to its pid, a child of this process. */
export type Start = (program: { argv: string[]; env: string[]; cwd: string; fds: number[] }) => Promise<number>;

/** By processor: read, write, exit, unshare, setns. */
const CALLS: Readonly<Record<string, readonly number[]>> = { x64: [0, 1, 60, 272, 308], arm64: [63, 64, 93, 97, 268] };
const FAILED = 0xff;

/**
 * Enters the user namespace of descriptor 2, or makes one where it has an argument less, says so on 1, waits on 0 for the maps, makes a network namespace,
 * says so, and waits for the end of 0. A threaded process can do neither.
 */
function holderSource(): string {
  const [read, write, exit, unshare, setns] = CALLS[process.arch] ?? [];
  return `
void lighter_main(long *stack, long (*call)(long number, ...))
{
  char word[1];
  long failed = stack[0] > 1 ? call(${setns}, 2L, 0x10000000L) : call(${unshare}, 0x10000000L);
  word[0] = failed ? ${FAILED} : 1;
  call(${write}, 1L, word, 1L);
  if (!failed && call(${read}, 0L, word, 1L) == 1) {
    word[0] = call(${unshare}, 0x40000000L) ? ${FAILED} : 2;
    call(${write}, 1L, word, 1L);
    call(${read}, 0L, word, 1L);
  }
  call(${exit}, 0L);
}
`;
}

let holder: number | undefined;

/**
 * Makes a user namespace with these numbers, or takes the one at the path `join`, and a network namespace that it owns. Both last as long as their descriptors, or who is
 * in them. Throws `unsupported` where the kernel gives none.
 */
export async function ownNamespaces(start: Start, { map, join }: { map: UserMap; join?: string | undefined }): Promise<OwnNamespaces> {
  holder ??= sealedCopy("lighter-userns", nativeProgram(holderSource()));
  const [commandRead, commandWrite] = makePipe();
  const [answerRead, answerWrite] = makePipe();
  const answers = answersOf(answerRead);
  let joined = -1;
  let pid = -1;
  try {
    if (join !== undefined) joined = openFd(join, 0);
    const argv = [`/proc/${process.pid}/fd/${holder}`, ...(join === undefined ? [] : ["join"])];
    pid = await start({ argv, env: [], cwd: "/", fds: [commandRead, answerWrite, joined] });
    closeFd(answerWrite);
    return await converse(pid, { answers, command: commandWrite, map: join === undefined ? map : undefined });
  } finally {
    answers.close();
    closeFd(commandRead, commandWrite, answerRead, joined);
    if (pid < 0) closeFd(answerWrite);
    else await ended(pid);
  }
}

async function converse(
  pid: number,
  { answers, command, map }: { answers: Answers; command: number; map: UserMap | undefined },
): Promise<OwnNamespaces> {
  await said(answers, 1, "make a user namespace");
  if (map !== undefined) writeMaps(pid, map);
  writeAll(command, Buffer.of(1));
  await said(answers, 2, "make a network namespace in a user namespace");
  const user = openFd(`/proc/${pid}/ns/user`, 0);
  try {
    return { user, network: openFd(`/proc/${pid}/ns/net`, 0) };
  } catch (error) {
    closeFd(user);
    throw error;
  }
}

/** https://man7.org/linux/man-pages/man7/user_namespaces.7.html */
function writeMaps(pid: number, { uid, gid }: UserMap): void {
  const text = (ranges: IdRange[]): string => ranges.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
  writeFileSync(`/proc/${pid}/uid_map`, text(uid));
  writeFileSync(`/proc/${pid}/gid_map`, text(gid));
}

interface Answers {
  /** The next byte; undefined at the end. */
  next(): Promise<number | undefined>;
  close(): void;
}

function answersOf(fd: number): Answers {
  const bytes: number[] = [];
  let over = false;
  let wake: (() => void) | undefined;
  const source = poller().add(fd, "stream", ({ data, ended: end }) => {
    if (data !== undefined) bytes.push(...new Uint8Array(data));
    if (end === true) over = true;
    wake?.();
  });
  return {
    async next() {
      while (bytes.length === 0 && !over) await new Promise<void>((resolve) => (wake = resolve));
      return bytes.shift();
    },
    close: () => source.close(),
  };
}

async function said(answers: Answers, word: number, what: string): Promise<void> {
  if ((await answers.next()) === word) return;
  throw new LighterError("unsupported", `Cannot ${what}: this kernel or its settings do not allow it (${settingsText()})`);
}

/** Waits for the end of a child of ours. */
async function ended(pid: number): Promise<void> {
  const fd = openPidfd(pid);
  if (fd !== undefined) {
    await new Promise<void>((resolve) => {
      const source = poller().add(fd, "ready", () => {
        source.close();
        resolve();
      });
    });
    closeFd(fd);
  }
  reap(pid);
}

function settingsText(): string {
  const path = "/proc/sys/user/max_user_namespaces";
  try {
    return `${path} is ${readFileSync(path, "utf8").trim()}`;
  } catch {
    return "it has no user namespaces";
  }
}
