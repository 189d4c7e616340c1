import { existsSync, readFileSync } from "node:fs";

/** How this host arranges control groups. */
export interface CgroupHost {
  version: 1 | 2;
  /** v1 with the unified tree beside it at `/sys/fs/cgroup/unified`. */
  hybrid: boolean;
  /** v1: mount point by controller, with `systemd` for the named hierarchy. v2: empty. */
  mounts: ReadonlyMap<string, string>;
  /** v2: where the tree is mounted. */
  unified: string;
  controllers: string[];
}

const ROOT = "/sys/fs/cgroup";
/** Words of a v1 mount's options that are no controller. */
const NO_CONTROLLER = new Set(["rw", "ro", "xattr", "clone_children", "noprefix"]);

/** Reads the arrangement from the mount table. */
export function readCgroupHost(mountinfo = readFileSync("/proc/self/mountinfo", "utf8")): CgroupHost {
  const mounts = new Map<string, string>();
  let unified = "";
  for (const line of mountinfo.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const point = left.split(" ")[4] ?? "";
    const [type, , options = ""] = right.split(" ");
    if (!point.startsWith(ROOT)) continue;
    if (type === "cgroup2") unified = point;
    if (type !== "cgroup") continue;
    for (const option of options.split(",")) {
      if (option.startsWith("name=")) mounts.set(option.slice(5), point);
      else if (!NO_CONTROLLER.has(option) && !option.includes("=")) mounts.set(option, point);
    }
  }
  if (mounts.size > 0) {
    const controllers = [...mounts.keys()].filter((name) => name !== "systemd").sort();
    return { version: 1, hybrid: unified === `${ROOT}/unified`, mounts, unified: "", controllers };
  }
  const available = `${unified}/cgroup.controllers`;
  const controllers = unified !== "" && existsSync(available) ? readFileSync(available, "utf8").trim().split(/\s+/) : [];
  return { version: 2, hybrid: false, mounts, unified: unified === "" ? ROOT : unified, controllers };
}

/**
 * Docker's choice where none is configured: systemd's on v2 where systemd is pid 1, else cgroupfs. In a pid namespace of our own systemd
 * may be there as well, but it takes our numbers of processes for its own.
 */
export function defaultDriver(host: CgroupHost, first = commandOf(1)): "cgroupfs" | "systemd" {
  return host.version === 2 && existsSync("/run/systemd/system") && /^(systemd|init)$/.test(first) ? "systemd" : "cgroupfs";
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
}

/** The directories of one cgroup, one for each hierarchy. */
export function cgroupDirectories(host: CgroupHost, path: string): string[] {
  if (host.version === 2) return [host.unified + path];
  const mounts = new Set(host.mounts.values());
  if (host.hybrid) mounts.add(`${ROOT}/unified`);
  return [...mounts].map((mount) => mount + path);
}

/** v2: the directory whose files hold a container's limits and counts. crun 1.8 puts processes and limits one below systemd's scope. */
export function limitsDirectory(host: CgroupHost, path: string): string {
  const scope = host.unified + path;
  const below = `${scope}/container`;
  return path.endsWith(".scope") && existsSync(`${below}/cgroup.procs`) ? below : scope;
}

/** `linux.cgroupsPath` as the OCI runtimes take it, and where the cgroup then is. */
export function cgroupOf(driver: "cgroupfs" | "systemd", parent: string, id: string): { runtimePath: string; path: string } {
  if (driver === "cgroupfs") return { runtimePath: `${parent}/${id}`, path: `${parent}/${id}` };
  const name = parent.replace(/^\//, "").replaceAll("/", "-");
  return { runtimePath: `${name}.slice:lighter:${id}`, path: `${expandSlice(name)}/lighter-${id}.scope` };
}

/** systemd nests slices by dashes: `a-b.slice` is `/a.slice/a-b.slice`. */
function expandSlice(name: string): string {
  // The root of all slices is called so.
  if (name === "-") return "";
  const parts = name.split("-");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}
