import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { type CgroupHost, cgroupDirectories } from "./cgroup-host.ts";

/**
 * Makes a cgroup in every hierarchy and returns its directories. On v1 a hierarchy that refuses (read-only, no right) is left out.
 * Throws `unavailable` on v2.
 */
export function makeCgroup(host: CgroupHost, path: string): string[] {
  // The unified tree of a hybrid host controls nothing and has no threads of its own: nothing of ours goes there.
  return cgroupDirectories({ ...host, hybrid: false }, path).filter((directory) => {
    try {
      mkdirSync(directory, { recursive: true });
      if (directory.startsWith(`${host.mounts.get("cpuset")}/`)) fillCpuset(host.mounts.get("cpuset") ?? "", path);
      return true;
    } catch (error) {
      if (host.version === 2) throw new LighterError("unavailable", `Cannot make cgroup "${directory}"`, { cause: error });
      logOf("runtime").warn("cannot make cgroup {directory}: {error}", { directory, error });
      return false;
    }
  });
}

/** A new cpuset of v1 is empty and takes no process until it is told which CPUs and memory nodes it has: those of its parent. */
function fillCpuset(mount: string, path: string): void {
  let parent = mount;
  for (const name of path.split("/").filter(Boolean)) {
    const directory = `${parent}/${name}`;
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (readFileSync(`${directory}/${file}`, "utf8").trim() === "")
        writeFileSync(`${directory}/${file}`, readFileSync(`${parent}/${file}`));
    }
    parent = directory;
  }
}

/** Whether what is mounted below `path` would appear in the namespaces of others: the mount around it is shared. */
export function isShared(path: string, mountinfo = readFileSync("/proc/self/mountinfo", "utf8")): boolean {
  let longest = "";
  let shared = false;
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    const point = (fields[4] ?? "").replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (point === "" || !`${path}/`.startsWith(point === "/" ? "/" : `${point}/`) || point.length < longest.length) continue;
    longest = point;
    shared = line.split(" - ")[0]?.includes(" shared:") ?? false;
  }
  return shared;
}
