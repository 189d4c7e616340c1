import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { logOf } from "../base/log.ts";
import { unlinkPath } from "../linux/fd.ts";
import { type CgroupHost, cgroupDirectories } from "./cgroup-host.ts";
import { ownCgroup } from "./own-cgroup.ts";

/** A monitor whose container has just ended needs a moment to end, too. */
const TRIES = 20;
const PAUSE_MILLISECONDS = 10;

/**
 * Removes the monitors' cgroup, the daemon's and the one around them, which holds nothing more then. Threads of ours that stand there (on v1 the spawn thread,
 * and helpers that JavaScript's engine started from it) go back to where the daemon was started. Cgroups that somebody else is in stay.
 */
export async function clearCgroups(host: CgroupHost, parent: string): Promise<void> {
  const homes = host.version === 1 ? homesOf(host) : new Map<string, string>();
  const left = new Set([`${parent}/monitors`, ownCgroup(parent), parent].flatMap((path) => cgroupDirectories(host, path)));
  for (let turn = 0; left.size > 0 && turn < TRIES; turn++) {
    if (turn > 0) await Bun.sleep(PAUSE_MILLISECONDS);
    for (const [directory, home] of homes) moveThreads(`${directory}${parent}/monitors/tasks`, `${directory}${home}/tasks`);
    for (const directory of left) if (isRemoved(directory)) left.delete(directory);
  }
  if (left.size > 0) logOf("runtime").debug("cgroups stay, as they are in use: {directories}", { directories: [...left] });
}

/** The daemon's own cgroup in each hierarchy of v1, by mount point. */
export function homesOf(host: Pick<CgroupHost, "mounts">, text = readFileSync("/proc/self/cgroup", "utf8")): Map<string, string> {
  const homes = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, names = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const mount = host.mounts.get(names.split(",")[0]?.replace(/^name=/, "") ?? "");
    if (mount !== undefined) homes.set(mount, path === "/" ? "" : path);
  }
  return homes;
}

function moveThreads(from: string, to: string): void {
  try {
    const ours = new Set(readdirSync("/proc/self/task"));
    for (const thread of readFileSync(from, "utf8").split("\n")) if (ours.has(thread)) writeFileSync(to, thread);
  } catch {
    // It is gone already, or a thread has ended meanwhile: the next turn sees what is left.
  }
}

function isRemoved(directory: string): boolean {
  try {
    unlinkPath(directory, { directory: true });
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EBUSY";
  }
}
