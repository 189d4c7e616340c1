import { existsSync, readFileSync } from "node:fs";
import { cpus, hostname, release, totalmem } from "node:os";
import { newId } from "../base/ids.ts";
import { now, toRfc3339Nano } from "../base/clock.ts";
import { readCdiDevices } from "../containers/cdi-spec.ts";
import type { Containers } from "../containers/containers.ts";
import { LOG_DRIVERS } from "../containers/log-options.ts";
import { isInsecure } from "../distribution/hosts.ts";
import { completeProxies } from "../distribution/proxy.ts";
import type { Images } from "../images/images.ts";
import type { Networks } from "../networks/networks.ts";
import { DEFAULT_ADDRESS_POOLS } from "../networks/subnets.ts";
import type { Runtime, RuntimeRecord } from "../runtime/runtime.ts";
import type { State } from "../state/state.ts";
import type { SystemInfo } from "../wire/engine-api.ts";
import type { EngineConfig } from "./config.ts";
import { machineArch, osRelease, VERSION } from "./version.ts";

/** What `info` looks at. */
export interface InfoSources {
  config: EngineConfig;
  state: State;
  runtime: Runtime;
  containers: Containers;
  images: Images;
  networks: Networks;
  /** Open event streams. */
  listeners: number;
  /** Why the data root carries no overlay, if it does not. */
  noOverlay?: string | undefined;
}

/** What Docker shows for a list with nothing in it. */
const NULL = null as unknown as [];

/** The answer of `/info`. `DriverStatus` says how images are identified, as buildx and compose ask. */
export async function systemInfo({
  config,
  state,
  runtime,
  containers,
  images,
  networks,
  listeners,
  noOverlay,
}: InfoSources): Promise<SystemInfo> {
  const described = (await readCdiDevices(config.containers.cdiSpecDirs)).names();
  const counts = containers.counts();
  return {
    ID: daemonId(state),
    Containers: counts.running + counts.paused + counts.stopped,
    ContainersRunning: counts.running,
    ContainersPaused: counts.paused,
    ContainersStopped: counts.stopped,
    Images: images.count(),
    // containerd's name for the snapshotter that copies.
    Driver: noOverlay === undefined ? "overlayfs" : "native",
    DriverStatus: [["driver-type", "io.containerd.snapshotter.v1"]],
    DockerRootDir: config.dataRoot,
    Plugins: {
      Volume: ["local"],
      Network: ["bridge", "host", "null"],
      Authorization: NULL,
      Log: [...LOG_DRIVERS],
    },
    ...limits(runtime),
    IPv4Forwarding: readFlag("/proc/sys/net/ipv4/ip_forward"),
    Debug: config.debug,
    NFd: 0,
    NGoroutines: 0,
    NEventsListener: listeners,
    SystemTime: toRfc3339Nano(now()),
    LoggingDriver: config.logDriver,
    CgroupDriver: runtime.cgroup.driver,
    CgroupVersion: runtime.cgroup.version === 2 ? "2" : "1",
    KernelVersion: release(),
    OperatingSystem: osRelease("PRETTY_NAME") || "Linux",
    OSVersion: osRelease("VERSION_ID"),
    OSType: "linux",
    Architecture: machineArch(),
    NCPU: cpus().length,
    MemTotal: totalmem(),
    IndexServerAddress: "https://index.docker.io/v1/",
    RegistryConfig: registryConfig(config),
    GenericResources: NULL,
    ...proxiesOf(config),
    Name: hostname(),
    Labels: config.labels,
    ExperimentalBuild: config.experimental,
    ServerVersion: VERSION,
    Runtimes: Object.fromEntries(runtime.records().map((record) => [record.name, { path: record.path }])),
    DefaultRuntime: runtime.record("").name,
    Swarm: { NodeID: "", NodeAddr: "", LocalNodeState: "inactive", ControlAvailable: false, Error: "", RemoteManagers: null },
    LiveRestoreEnabled: true,
    Isolation: "",
    InitBinary: "tini",
    ContainerdCommit: { ID: "N/A" },
    RuncCommit: { ID: versionOf(runtime.record("")) },
    InitCommit: { ID: "N/A" },
    SecurityOptions: securityOptions(runtime, config),
    ...(config.addressPools === DEFAULT_ADDRESS_POOLS
      ? {}
      : { DefaultAddressPools: config.addressPools.map(({ base, size }) => ({ Base: base, Size: size })) }),
    CDISpecDirs: config.containers.cdiSpecDirs,
    ...(described.length > 0 ? { DiscoveredDevices: described.map((ID) => ({ Source: "cdi", ID })) } : {}),
    FirewallBackend: { Driver: "nftables", Info: [["PublishedPorts", config.publishedPorts]] },
    Warnings: [
      ...warnings(runtime),
      ...networks.warnings().map((sentence) => `WARNING: ${sentence}`),
      ...(noOverlay === undefined ? [] : [copyWarning(config.dataRoot, noOverlay)]),
    ],
  };
}

function limits(runtime: Runtime): Partial<SystemInfo> {
  const has = (controller: string): boolean => runtime.cgroup.controllers.includes(controller);
  const memory = "/sys/fs/cgroup/memory/";
  return {
    MemoryLimit: has("memory"),
    SwapLimit: has("memory") && (runtime.cgroup.version === 2 || existsSync(`${memory}memory.memsw.limit_in_bytes`)),
    CpuCfsPeriod: has("cpu"),
    CpuCfsQuota: has("cpu"),
    CPUShares: has("cpu"),
    CPUSet: has("cpuset"),
    PidsLimit: has("pids"),
    OomKillDisable: runtime.cgroup.version === 1 && existsSync(`${memory}memory.oom_control`),
  };
}

/** What cannot be limited here, as Docker calls it. */
const LIMITS: readonly [keyof SystemInfo, string][] = [
  ["MemoryLimit", "memory limit"],
  ["SwapLimit", "swap limit"],
  ["CpuCfsPeriod", "cpu cfs period"],
  ["CpuCfsQuota", "cpu cfs quota"],
  ["CPUShares", "cpu shares"],
  ["CPUSet", "cpuset"],
];

function copyWarning(dataRoot: string, why: string): string {
  return `WARNING: The data root ${dataRoot} carries no overlay (${why}): each container holds a copy of its image. Move it to ext4, xfs or btrfs`;
}

function warnings(runtime: Runtime): string[] {
  const here = limits(runtime);
  return LIMITS.flatMap(([name, words]) => (here[name] === true ? [] : [`WARNING: No ${words} support`]));
}

function securityOptions(
  runtime: Runtime,
  { containers: { seccompProfile, appArmorProfile, noNewPrivileges }, usernsRemap = "" }: EngineConfig,
): string[] {
  const profile = seccompProfile === undefined ? "builtin" : seccompProfile === "unconfined" ? seccompProfile : "custom";
  const options = [`name=seccomp,profile=${profile}`];
  // Only where containers get a profile: a kernel that could is not enough.
  if (appArmorProfile !== undefined) options.unshift("name=apparmor");
  if (runtime.cgroup.version === 2) options.push("name=cgroupns");
  if (usernsRemap !== "") options.push("name=userns");
  if (noNewPrivileges) options.push("name=no-new-privileges");
  return options;
}

/** The proxies in force; a name and a password in one are nobody's business. */
function proxiesOf(config: EngineConfig): Pick<SystemInfo, "HttpProxy" | "HttpsProxy" | "NoProxy"> {
  const { http = "", https = "", none = "" } = completeProxies(config.proxies);
  return { HttpProxy: masked(http), HttpsProxy: masked(https), NoProxy: none };
}

function masked(proxy: string): string {
  return proxy.replace(/^([a-z]+:\/\/)[^@/]*@/i, "$1xxxxx:xxxxx@");
}

/** Docker's view of the registries: what is in CIDR form is a network, loopback is always among them. */
function registryConfig(config: EngineConfig): NonNullable<SystemInfo["RegistryConfig"]> {
  const entries = config.insecureRegistries.map((entry) => entry.replace(/^https?:\/\//i, ""));
  const isNetwork = (entry: string): boolean => /^[0-9a-f.:]+\/\d+$/i.test(entry);
  const networks = [...new Set(["::1/128", "127.0.0.0/8", ...entries.filter(isNetwork)])];
  const index = (Name: string, Mirrors: string[], Secure: boolean) => ({ Name, Mirrors, Secure, Official: false });
  const hub = [...config.registryMirrors, ...(config.mirrors["docker.io"] ?? [])].map((mirror) => `${mirror.replace(/\/+$/, "")}/`);
  const { "docker.io": _hub, ...others } = config.mirrors;
  return {
    InsecureRegistryCIDRs: networks,
    IndexConfigs: {
      "docker.io": { Name: "docker.io", Mirrors: hub, Secure: true, Official: true },
      ...Object.fromEntries(entries.filter((entry) => !isNetwork(entry)).map((name) => [name, index(name, others[name] ?? [], false)])),
      ...Object.fromEntries(
        Object.entries(others).map(([name, mirrors]) => [name, index(name, mirrors, !isInsecure(name, config.insecureRegistries))]),
      ),
    },
    Mirrors: hub,
  };
}

function versionOf(record: RuntimeRecord): string {
  return `${record.kind} ${record.version}`;
}

/** A random name of this data root, made once. */
export function daemonId(state: State): string {
  const row = state.get<{ value_json: string }>("SELECT value_json FROM settings WHERE key = 'daemon-id'");
  if (row !== undefined) return JSON.parse(row.value_json) as string;
  const id = newId().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
  state.write((tx) => tx.run("INSERT INTO settings (key, value_json) VALUES ('daemon-id', ?)", JSON.stringify(id)), { durable: true });
  return id;
}

function readFlag(path: string): boolean {
  try {
    return readFileSync(path, "utf8").trim() !== "0";
  } catch {
    return false;
  }
}
