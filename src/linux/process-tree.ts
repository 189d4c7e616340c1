import { readFileSync } from "node:fs";
import { signalPid } from "./process.ts";

const SIGKILL = 9;
/** Processes that were forked while the others were killed are found in the next round. */
const ROUNDS = 20;
/** How often, and after how many milliseconds, it is looked for parents that have taken note of their children's end. */
const GENTLE_ROUNDS = 25;
const GENTLE_PAUSE = 8;

/** What `/proc/<pid>/stat` says of a process's place among others. */
export interface Kinship {
  pid: number;
  parent: number;
  group: number;
  session: number;
  /** It has ended, and its parent has not taken note. */
  zombie?: boolean;
}

/**
 * Kills a process with all that came of it, children first, each parent once it has taken note of their end. A child whose parent goes before it becomes
 * the child of the first process of its namespace, and there are some (PostgreSQL) that take the violent end of any child for the end of one of
 * their own and start anew. What is not over after a moment goes as with {@link killTree}.
 */
export async function endTree(root: number, among: () => readonly number[]): Promise<void> {
  const killed = new Set<number>();
  for (let round = 0; round < GENTLE_ROUNDS; round++) {
    const all = [...new Set([...among(), ...killed])].flatMap(kinshipOf);
    const living = all.filter(({ zombie }) => zombie !== true);
    const members = treeOf(root, living);
    if (members.length === 0) return;
    const parents = new Set(all.map(({ parent }) => parent));
    for (const pid of members) {
      if (parents.has(pid)) continue;
      signalPid(pid, SIGKILL);
      killed.add(pid);
    }
    await Bun.sleep(GENTLE_PAUSE);
  }
  killTree(root, among);
}

/**
 * Kills a process with all that came of it at once: its children and theirs, its process group and its session.
 * @param root pid of a process that leads a session of its own; it may be gone already
 * @param among pids of all processes that may belong to it, read anew for each round
 */
export function killTree(root: number, among: () => readonly number[]): void {
  for (let round = 0; round < ROUNDS; round++) {
    // Zombies count as gone: their children have other parents.
    const living = among()
      .flatMap(kinshipOf)
      .filter(({ zombie }) => zombie !== true);
    const members = treeOf(root, living);
    if (members.length === 0) return;
    for (const pid of members) signalPid(pid, SIGKILL);
  }
}

/** Which of the processes came of `root`, itself included: by parent, process group or session. */
export function treeOf(root: number, processes: readonly Kinship[]): number[] {
  const found = new Set([root]);
  for (let size = 0; size !== found.size;) {
    size = found.size;
    for (const { pid, parent, group, session } of processes) if (found.has(parent) || group === root || session === root) found.add(pid);
  }
  return processes.map(({ pid }) => pid).filter((pid) => found.has(pid));
}

function kinshipOf(pid: number): Kinship[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state = "", parent, group, session] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (state === "X") return [];
    return [{ pid, parent: Number(parent), group: Number(group), session: Number(session), zombie: state === "Z" }];
  } catch {
    return [];
  }
}
