import type { HostConfig } from "../wire/engine-api.ts";
import type { Machine } from "./validate-resources.ts";

/** A limit that needs a controller, and on cgroup v1 a file of it; the sentence when it is missing, and what is left out then. */
interface Limit {
  controller: string;
  /** On v1, where a controller has files by the kernel's configuration. */
  file?: string;
  /** There is no such thing in cgroup v2. */
  onlyV1?: boolean;
  fields: (keyof HostConfig)[];
  text: string;
}

const MISSING = "or the cgroup is not mounted.";

const LIMITS: readonly Limit[] = [
  {
    controller: "memory",
    fields: ["Memory", "MemorySwap"],
    text: `Your kernel does not support memory limit capabilities ${MISSING} Limitation discarded.`,
  },
  {
    controller: "memory",
    fields: ["MemoryReservation"],
    text: `Your kernel does not support memory soft limit capabilities ${MISSING} Limitation discarded.`,
  },
  {
    controller: "memory",
    file: "memory.swappiness",
    onlyV1: true,
    fields: ["MemorySwappiness"],
    text: `Your kernel does not support memory swappiness capabilities ${MISSING} Memory swappiness discarded.`,
  },
  {
    controller: "pids",
    fields: ["PidsLimit"],
    text: `Your kernel does not support PIDs limit capabilities ${MISSING} PIDs limit discarded.`,
  },
  {
    controller: "cpu",
    fields: ["CpuShares"],
    text: `Your kernel does not support CPU shares ${MISSING} Shares discarded.`,
  },
  {
    controller: "cpu",
    file: "cpu.cfs_period_us",
    fields: ["CpuPeriod"],
    text: `Your kernel does not support CPU CFS scheduler ${MISSING} Period discarded.`,
  },
  {
    controller: "cpu",
    file: "cpu.cfs_quota_us",
    fields: ["CpuQuota"],
    text: `Your kernel does not support CPU CFS scheduler ${MISSING} Quota discarded.`,
  },
  {
    controller: "cpuset",
    fields: ["CpusetCpus", "CpusetMems"],
    text: `Your kernel does not support cpuset ${MISSING} CPUset discarded.`,
  },
  {
    controller: "blkio",
    file: "blkio.weight",
    fields: ["BlkioWeight"],
    text: `Your kernel does not support Block I/O weight ${MISSING} Weight discarded.`,
  },
  {
    controller: "blkio",
    file: "blkio.weight_device",
    fields: ["BlkioWeightDevice"],
    text: `Your kernel does not support Block I/O weight_device ${MISSING} Weight-device discarded.`,
  },
  {
    controller: "blkio",
    file: "blkio.throttle.read_bps_device",
    fields: ["BlkioDeviceReadBps"],
    text: `Your kernel does not support BPS Block I/O read limit ${MISSING} Block I/O BPS read limit discarded.`,
  },
  {
    controller: "blkio",
    file: "blkio.throttle.write_bps_device",
    fields: ["BlkioDeviceWriteBps"],
    text: `Your kernel does not support BPS Block I/O write limit ${MISSING} Block I/O BPS write limit discarded.`,
  },
  {
    controller: "blkio",
    file: "blkio.throttle.read_iops_device",
    fields: ["BlkioDeviceReadIOps"],
    text: `Your kernel does not support IOPS Block read limit ${MISSING} Block I/O IOPS read limit discarded.`,
  },
  {
    controller: "blkio",
    file: "blkio.throttle.write_iops_device",
    fields: ["BlkioDeviceWriteIOps"],
    text: `Your kernel does not support IOPS Block write limit ${MISSING} Block I/O IOPS write limit discarded.`,
  },
];

/** Drops the limits that this kernel cannot enforce from a HostConfig; returns Docker's sentences about them. */
export function discardLimits(host: HostConfig, machine: Machine): string[] {
  const warnings: string[] = [];
  for (const limit of LIMITS) {
    if (!limit.fields.some((field) => isSet(host[field])) || isThere(limit, machine)) continue;
    warnings.push(limit.text);
    for (const field of limit.fields) clear(host, field);
  }
  return [...warnings, ...discardSwap(host, machine), ...discardOomKillDisable(host, machine)];
}

function isThere({ controller, file, onlyV1 }: Limit, machine: Machine): boolean {
  if (machine.cgroupVersion === 2) return onlyV1 !== true && machine.controllers.includes(controller === "blkio" ? "io" : controller);
  return machine.controllers.includes(controller) && (file === undefined || machine.has(controller, file));
}

function discardSwap(host: HostConfig, machine: Machine): string[] {
  if (!host.Memory || host.MemorySwap === -1) return [];
  if (machine.cgroupVersion === 2 || machine.has("memory", "memory.memsw.limit_in_bytes")) return [];
  host.MemorySwap = -1;
  return [`Your kernel does not support swap limit capabilities ${MISSING} Memory limited without swap.`];
}

function discardOomKillDisable(host: HostConfig, machine: Machine): string[] {
  if (!host.OomKillDisable) return [];
  if (machine.cgroupVersion === 1 && machine.has("memory", "memory.oom_control")) {
    if (host.Memory) return [];
    return [
      "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
    ];
  }
  clear(host, "OomKillDisable");
  return ["Your kernel does not support OomKillDisable. OomKillDisable discarded."];
}

function isSet(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

/** Back to what inspect shows of a limit that was not given. */
function clear(host: HostConfig, field: keyof HostConfig): void {
  const value = host[field];
  const empty = Array.isArray(value)
    ? []
    : typeof value === "string"
      ? ""
      : field === "PidsLimit" || field === "MemorySwappiness" || typeof value === "boolean"
        ? null
        : 0;
  (host as Record<string, unknown>)[field] = empty;
}
