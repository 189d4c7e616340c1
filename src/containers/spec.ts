import { readFileSync } from "node:fs";
import { posix } from "node:path";
import type { Process, RuntimeSpec } from "../oci/spec.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { profileOf } from "./apparmor.ts";
import { capabilitiesOf, grantableCapabilities } from "./capabilities.ts";
import { type ContainerDefaults, ulimitsOf } from "./container-defaults.ts";
import { commandOf, type Desired } from "./desired.ts";
import { devicesOf } from "./devices.ts";
import { environmentOf } from "./environment.ts";
import type { User } from "./passwd.ts";
import { resourcesOf } from "./resources.ts";
import { parseSecurityOptions } from "./security-opt.ts";
import { type MountInputs, mountsOf, rootPropagation } from "./spec-mounts.ts";
import { rlimitsOf } from "./ulimits.ts";

/** Where the init program of `--init` stands in the container. */
export const INIT_PATH = "/sbin/docker-init";

/** Everything a start has found out that the specification needs. */
export interface SpecInputs extends Omit<MountInputs, "host" | "mounts"> {
  id: string;
  desired: Desired;
  hostname: string;
  user: User;
  /** Path of the network namespace; undefined for the host's. */
  network: string | undefined;
  /** Namespaces of other containers to join: paths. */
  joined: { pid?: string; ipc?: string };
  cgroup: { version: 1 | 2; driver: "cgroupfs" | "systemd" };
  defaults: ContainerDefaults;
  /** Variables of legacy links. */
  linked?: readonly string[];
}

/** The OCI specification of a container, without the root's path and the seccomp filter, which are the runtime part's. */
export function specOf(inputs: SpecInputs): RuntimeSpec {
  const { hostConfig: host } = inputs.desired;
  const { devices, rules } = devicesOf(host);
  const sysctl = sysctlsOf(inputs.desired, inputs.network);
  const propagation = rootPropagation(inputs.desired.mounts);
  const cgroupsPath = cgroupPath(host, inputs);
  const unmasked = parseSecurityOptions(host.SecurityOpt ?? [], host.Privileged ?? false).systemPathsUnconfined;
  return {
    ociVersion: "1.0.2",
    process: processOf(inputs),
    root: { path: "", ...(host.ReadonlyRootfs ? { readonly: true } : {}) },
    ...(host.UTSMode === "host" ? {} : { hostname: inputs.hostname }),
    mounts: mountsOf({ ...inputs, host, mounts: inputs.desired.mounts }),
    ...(host.Annotations && Object.keys(host.Annotations).length > 0 ? { annotations: host.Annotations } : {}),
    linux: {
      namespaces: namespacesOf(host, inputs),
      ...(devices.length > 0 ? { devices } : {}),
      ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
      resources: resourcesOf(host, rules, inputs.cgroup.version),
      ...(Object.keys(sysctl).length > 0 ? { sysctl } : {}),
      ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
      maskedPaths: unmasked ? [] : (host.MaskedPaths ?? []),
      readonlyPaths: unmasked ? [] : (host.ReadonlyPaths ?? []),
    },
  };
}

function processOf(inputs: SpecInputs): Process {
  const { config, hostConfig: host } = inputs.desired;
  const args = commandOf(config);
  return {
    terminal: config.Tty ?? false,
    args: host.Init ? [INIT_PATH, "--", ...args] : args,
    env: environmentOf(config, inputs.hostname, inputs.user.home, inputs.linked),
    cwd: config.WorkingDir || "/",
    ...credentialsOf(inputs.desired, inputs.user, inputs.defaults),
  };
}

/** Who a process is and what it may do: the same for a container's first process and for execs. */
export function credentialsOf(
  { hostConfig: host, users }: Pick<Desired, "hostConfig" | "users">,
  user: User,
  defaults: ContainerDefaults,
): Pick<Process, "user" | "capabilities" | "rlimits" | "noNewPrivileges" | "oomScoreAdj" | "apparmorProfile"> {
  const privileged = host.Privileged ?? false;
  const { list } = capabilitiesOf({ add: host.CapAdd ?? [], drop: host.CapDrop ?? [], privileged });
  const security = parseSecurityOptions(host.SecurityOpt ?? [], privileged);
  const profile = profileOf(host, defaults);
  const mayRaise = mayRaiseLimits(users);
  const { rlimits } = rlimitsOf(ulimitsOf(host, defaults), { mayRaise });
  const score = oomScoreOf(host.OomScoreAdj ?? 0, mayRaise);
  return {
    user: { uid: user.uid, gid: user.gid, ...(user.additionalGids.length > 0 ? { additionalGids: user.additionalGids } : {}) },
    capabilities: { bounding: list, effective: list, permitted: list, inheritable: [], ambient: [] },
    noNewPrivileges: security.noNewPrivileges ?? defaults.noNewPrivileges,
    ...(rlimits.length > 0 ? { rlimits } : {}),
    ...(score === undefined ? {} : { oomScoreAdj: score }),
    ...(profile === undefined ? {} : { apparmorProfile: profile }),
  };
}

/** Whether a container's processes may get more than the daemon has: in a user namespace nobody may. */
export function mayRaiseLimits(users: Desired["users"]): boolean {
  return users === undefined && grantableCapabilities().has("CAP_SYS_RESOURCE");
}

let ownScore: number | undefined;

/** A score below the daemon's own needs CAP_SYS_RESOURCE: without it the daemon's is the lowest there is; undefined leaves it. */
export function oomScoreOf(asked: number, mayLower: boolean): number | undefined {
  ownScore ??= Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
  if (asked === ownScore) return undefined;
  return mayLower || asked > ownScore ? asked : undefined;
}

function namespacesOf(host: HostConfig, { network, joined }: SpecInputs): RuntimeSpec["linux"]["namespaces"] {
  const namespaces: RuntimeSpec["linux"]["namespaces"] = [{ type: "mount" }];
  if (network !== undefined) namespaces.push({ type: "network", path: network });
  if (host.UTSMode !== "host") namespaces.push({ type: "uts" });
  if (host.PidMode !== "host") namespaces.push(joined.pid === undefined ? { type: "pid" } : { type: "pid", path: joined.pid });
  if (host.IpcMode !== "host") namespaces.push(joined.ipc === undefined ? { type: "ipc" } : { type: "ipc", path: joined.ipc });
  if (host.CgroupnsMode === "private") namespaces.push({ type: "cgroup" });
  return namespaces;
}

/** Docker's defaults (any user may bind low ports and send pings), then what was asked for. */
function sysctlsOf({ hostConfig: host, config, users }: Desired, network: string | undefined): Record<string, string> {
  const ownNetwork = network !== undefined && !(host.NetworkMode ?? "").startsWith("container:");
  return {
    ...(ownNetwork ? { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": `0 ${lastGroup(users)}` } : {}),
    ...(config.Domainname && host.UTSMode !== "host" ? { "kernel.domainname": config.Domainname } : {}),
    ...host.Sysctls,
  };
}

/** The highest group that there is from 0 on, at most the kernel's. */
function lastGroup(users: Desired["users"]): number {
  if (users === undefined) return 2147483647;
  return users.gid.reduce((last, { containerID, size }) => Math.max(last, containerID + size - 1), 0);
}

/** Only where a parent was asked for: the runtime part knows the default. */
function cgroupPath(host: HostConfig, { id, cgroup }: SpecInputs): string | undefined {
  const parent = host.CgroupParent;
  if (!parent) return undefined;
  if (cgroup.driver === "systemd") return `${parent}:lighter:${id}`;
  // Nothing leads out of the hierarchy, and the runtime's path is the one that is read later.
  return posix.join("/", parent, id);
}
