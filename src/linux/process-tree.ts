import { readFileSync } from "node:fs";
import { signalPid } from "./process.ts";

const SIGKILL = 9;
/** Processes that were forked while the others were killed are found in the next round. */
const ROUNDS = 20;

/** What `/proc/<pid>/stat` says of a process's place among others. */
export interface Kinship {
  pid: number;
  parent: number;
  group: number;
  session: number;
}

/**
 * Kills a process with all that came of it: its children and theirs, its process group and its session.
 * @param root pid of a process that leads a session of its own; it may be gone already
 * @param among pids of all processes that may belong to it, read anew for each round
 */
export function killTree(root: number, among: () => readonly number[]): void {
  for (let round = 0; round < ROUNDS; round++) {
    const members = treeOf(root, among().flatMap(kinshipOf));
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

/** Zombies count as gone: their children have other parents. */
function kinshipOf(pid: number): Kinship[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state = "", parent, group, session] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") return [];
    return [{ pid, parent: Number(parent), group: Number(group), session: Number(session) }];
  } catch {
    return [];
  }
}
