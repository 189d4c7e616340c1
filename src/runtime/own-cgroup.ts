import { mkdirSync, writeFileSync } from "node:fs";
import { logOf } from "../base/log.ts";
import { type CgroupHost, cgroupDirectories } from "./cgroup-host.ts";
import { makeCgroup } from "./prepare-host.ts";

/** The daemon's own cgroup below that of the engine. */
export function ownCgroup(parent: string): string {
  return `${parent}/daemon`;
}

/**
 * Moves this process into a cgroup of its own: one that was started from a login session would end with the session, and would be counted and
 * limited with it. A hierarchy that refuses is left out.
 */
export function enterOwnCgroup(host: CgroupHost, parent: string): void {
  const unified = host.hybrid ? cgroupDirectories(host, ownCgroup(parent)).slice(-1) : [];
  for (const directory of unified) mkdirSync(directory, { recursive: true });
  for (const directory of [...makeCgroup(host, ownCgroup(parent)), ...unified]) {
    try {
      writeFileSync(`${directory}/cgroup.procs`, String(process.pid));
    } catch (error) {
      logOf("runtime").debug("the daemon stays where it was started: {directory}: {error}", { directory, error });
    }
  }
}

/** Moves this process to the root of each hierarchy in which it has a cgroup of its own, so that this can be removed. */
export function leaveOwnCgroup(host: CgroupHost, parent: string): void {
  const roots = cgroupDirectories(host, "");
  for (const [index, directory] of cgroupDirectories(host, ownCgroup(parent)).entries()) {
    try {
      writeFileSync(`${roots[index]}/cgroup.procs`, String(process.pid));
    } catch (error) {
      logOf("runtime").debug("cannot leave cgroup {directory}: {error}", { directory, error });
    }
  }
}
