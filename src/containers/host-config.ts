import type { HostConfig } from "../wire/engine-api.ts";
import type { ContainerDefaults } from "./container-defaults.ts";

/** Paths under /proc and /sys that no unprivileged container sees. */
export const MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

/** Paths under /proc that no unprivileged container may write. */
export const READONLY_PATHS: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** What the defaults depend on. */
export interface HostDefaults {
  logDriver: string;
  logOptions: Readonly<Record<string, string>>;
  shmSize: number;
  runtime: string;
  cgroupVersion: 1 | 2;
  init: boolean;
  containers?: Pick<ContainerDefaults, "ipcMode" | "cgroupnsMode" | "cgroupParent">;
}

/** What Docker shows for a field that was not given, though its schema has no null there. */
const NULL = null as unknown as undefined;

/**
 * The HostConfig with Docker's defaults in every field that inspect shows; clients of all ages send fewer or more of them.
 * https://docs.docker.com/reference/api/engine/ "ContainerCreate"
 */
export function fillHostConfig(asked: HostConfig, defaults: HostDefaults): HostConfig {
  const privileged = asked.Privileged ?? false;
  const memory = asked.Memory ?? 0;
  const filled = base();
  for (const [key, value] of Object.entries(asked)) if (value !== null && value !== undefined) filled[key] = value;
  const derived = {
    Privileged: privileged,
    LogConfig: logConfigOf(asked.LogConfig, defaults),
    NetworkMode: !asked.NetworkMode || asked.NetworkMode === "default" ? "bridge" : asked.NetworkMode,
    RestartPolicy: { Name: asked.RestartPolicy?.Name || ("no" as const), MaximumRetryCount: asked.RestartPolicy?.MaximumRetryCount ?? 0 },
    CgroupnsMode:
      asked.CgroupnsMode ||
      (privileged ? "host" : (defaults.containers?.cgroupnsMode ?? (defaults.cgroupVersion === 2 ? "private" : "host"))),
    // A kernel of cgroup 2 has no such switch.
    OomKillDisable: asked.OomKillDisable ?? (defaults.cgroupVersion === 1 ? false : NULL),
    IpcMode: asked.IpcMode || (defaults.containers?.ipcMode ?? "private"),
    CgroupParent: asked.CgroupParent || (defaults.containers?.cgroupParent ?? ""),
    ShmSize: asked.ShmSize || defaults.shmSize,
    Runtime: asked.Runtime || defaults.runtime,
    MemorySwap: memory > 0 && !asked.MemorySwap ? memory * 2 : (asked.MemorySwap ?? 0),
    ...(asked.DeviceRequests?.length ? { DeviceRequests: asked.DeviceRequests.map((request) => ({ ...DEVICE_REQUEST, ...request })) } : {}),
    SecurityOpt: withoutLabels(asked) ? [...(asked.SecurityOpt ?? []), "label=disable"] : (asked.SecurityOpt ?? NULL),
    // Any number that means "no limit" or "as the machine has it" reads as not given.
    PidsLimit: (asked.PidsLimit ?? 0) > 0 ? asked.PidsLimit : NULL,
    MemorySwappiness: (asked.MemorySwappiness ?? -1) === -1 ? NULL : asked.MemorySwappiness,
    MaskedPaths: asked.MaskedPaths ?? (privileged ? NULL : [...MASKED_PATHS]),
    ReadonlyPaths: asked.ReadonlyPaths ?? (privileged ? NULL : [...READONLY_PATHS]),
    ...(defaults.init && asked.Init === undefined ? { Init: true } : {}),
  };
  return Object.assign(filled, derived) as HostConfig;
}

/** A device request as inspect shows it. */
const DEVICE_REQUEST = { Driver: "", Count: 0, DeviceIDs: NULL, Capabilities: NULL, Options: NULL };

/** Where a namespace of processes is the host's, or everything is allowed, SELinux would only be in the way: so Docker says. */
function withoutLabels({ SecurityOpt, IpcMode, PidMode, Privileged }: HostConfig): boolean {
  if ((SecurityOpt ?? []).some((option) => /^label(?:=|$)/.test(option))) return false;
  return IpcMode === "host" || PidMode === "host" || (Privileged ?? false);
}

/** The daemon's options hold for containers of the daemon's driver, each where the container says nothing. */
function logConfigOf(asked: HostConfig["LogConfig"], defaults: HostDefaults): HostConfig["LogConfig"] {
  const driver = asked?.Type || defaults.logDriver;
  const Config = { ...(driver === defaults.logDriver ? defaults.logOptions : {}), ...asked?.Config };
  return { Type: driver as NonNullable<NonNullable<HostConfig["LogConfig"]>["Type"]>, Config };
}

function base(): Record<string, unknown> {
  return {
    Binds: null,
    ContainerIDFile: "",
    PortBindings: null,
    AutoRemove: false,
    VolumeDriver: "",
    VolumesFrom: null,
    ConsoleSize: [0, 0],
    CapAdd: null,
    CapDrop: null,
    Dns: null,
    DnsOptions: null,
    DnsSearch: null,
    ExtraHosts: null,
    GroupAdd: null,
    Cgroup: "",
    Links: null,
    OomScoreAdj: 0,
    PidMode: "",
    PublishAllPorts: false,
    ReadonlyRootfs: false,
    SecurityOpt: null,
    UTSMode: "",
    UsernsMode: "",
    Isolation: "",
    CpuShares: 0,
    Memory: 0,
    NanoCpus: 0,
    CgroupParent: "",
    BlkioWeight: 0,
    BlkioWeightDevice: null,
    BlkioDeviceReadBps: null,
    BlkioDeviceWriteBps: null,
    BlkioDeviceReadIOps: null,
    BlkioDeviceWriteIOps: null,
    CpuPeriod: 0,
    CpuQuota: 0,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: "",
    CpusetMems: "",
    Devices: null,
    DeviceCgroupRules: null,
    DeviceRequests: null,
    MemoryReservation: 0,
    MemorySwappiness: null,
    OomKillDisable: null,
    PidsLimit: null,
    Ulimits: null,
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
  };
}
