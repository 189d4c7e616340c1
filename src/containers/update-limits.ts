import { LighterError } from "../base/errors.ts";
import type { Resources } from "../oci/spec.ts";
import type { HostConfig, Resources as Limits } from "../wire/engine-api.ts";
import { resourcesOf } from "./resources.ts";
import { type Machine, validateResources } from "./validate-resources.ts";

/** The numbers and words of an update that Docker takes over where they say something. */
const PLAIN = [
  "BlkioWeight",
  "CpuShares",
  "NanoCpus",
  "CpuPeriod",
  "CpuQuota",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "CpusetCpus",
  "CpusetMems",
  "Memory",
  "MemorySwap",
  "MemoryReservation",
] as const;
/** Lists of devices: an update's takes the place of what was. */
const LISTS = ["BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"] as const;
/** The kernel's values for "as if nothing had been asked for"; a set of processors has none but the machine's. */
const UNLIMITED = { CpuShares: 1024, CpuQuota: -1, CpuPeriod: 100_000, MemoryReservation: -1, BlkioWeight: 500 } as const;

/** What an update makes of a HostConfig's limits. */
export interface LimitChange {
  /** The fields that differ, with what they are now. */
  fields: Partial<HostConfig>;
  warnings: string[];
}

/**
 * Checks the limits of an update with Docker's texts (`invalid`; `conflict` for what contradicts those in force). Nothing given changes nothing.
 */
export function changeLimits(host: HostConfig, asked: Limits, machine: Machine): LimitChange {
  const given: HostConfig = structuredClone(asked);
  const alone = (given.Memory ?? 0) === 0 && (given.MemorySwap ?? 0) > 0 ? given.MemorySwap : undefined;
  // An update may name the swap limit alone: the memory's stands.
  if (alone !== undefined) delete given.MemorySwap;
  // Any number below means "no limit", too, where something is updated.
  if ((given.PidsLimit ?? 0) < 0) given.PidsLimit = -1;
  const warnings = validateResources(given, machine);
  if (alone !== undefined && machine.controllers.includes("memory")) given.MemorySwap = alone;
  refuseContradictions(host, given);
  const fields: Partial<HostConfig> = {};
  for (const key of PLAIN) if (given[key] && given[key] !== host[key]) Object.assign(fields, { [key]: given[key] });
  for (const key of LISTS) if ((given[key] ?? []).length > 0) Object.assign(fields, { [key]: given[key] });
  // As Docker shows it: any number that means "no limit" reads as 0.
  if (given.PidsLimit !== undefined && given.PidsLimit !== null) fields.PidsLimit = Math.max(given.PidsLimit, 0);
  return { fields, warnings };
}

function refuseContradictions(host: HostConfig, given: HostConfig): void {
  const refuse = (when: unknown, text: string): void => {
    if (when) throw new LighterError("conflict", text);
  };
  const nano = (what: string): string => `Conflicting options: Nano CPUs cannot be updated as CPU ${what} has already been set`;
  refuse(given.NanoCpus && host.CpuPeriod, nano("Period"));
  refuse(given.NanoCpus && host.CpuQuota, nano("Quota"));
  refuse(given.CpuPeriod && host.NanoCpus, "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
  refuse(given.CpuQuota && host.NanoCpus, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
  refuse(
    given.Memory && !given.MemorySwap && given.Memory > (host.MemorySwap ?? 0),
    "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
  );
}

/** The cgroup's settings that bring a running container from one HostConfig to another, for fields that differ. Limits that are gone are lifted. */
export function limitsBetween(from: HostConfig, to: HostConfig, fields: readonly (keyof HostConfig)[], cgroupVersion: 1 | 2): Resources {
  const changed: Partial<HostConfig> = {};
  for (const key of fields) Object.assign(changed, { [key]: to[key] || (UNLIMITED as Partial<HostConfig>)[key] });
  if (changed.NanoCpus === undefined && fields.includes("NanoCpus"))
    Object.assign(changed, { CpuQuota: -1, CpuPeriod: UNLIMITED.CpuPeriod });
  for (const key of fields) if (isRateList(key)) Object.assign(changed, { [key]: [...lifted(from, to, key), ...(to[key] ?? [])] });
  const memory = fields.includes("Memory") || fields.includes("MemorySwap");
  if (memory) Object.assign(changed, { Memory: to.Memory, MemorySwap: to.MemorySwap });
  const { devices: _rules, ...resources } = resourcesOf(changed, [], cgroupVersion);
  if ((changed.CpuQuota ?? 0) < 0) resources.cpu = { ...resources.cpu, quota: -1 };
  if (changed.MemoryReservation === -1) resources.memory = { ...resources.memory, reservation: cgroupVersion === 2 ? 0 : -1 };
  if (memory && !to.Memory) resources.memory = { ...resources.memory, limit: -1, swap: -1 };
  if (fields.includes("PidsLimit")) resources.pids = { limit: to.PidsLimit || -1 };
  return resources;
}

const RATES = LISTS.filter((key) => key !== "BlkioWeightDevice");
type RateList = (typeof RATES)[number];

function isRateList(key: string): key is RateList {
  return (RATES as readonly string[]).includes(key);
}

/** Devices whose rate was limited and is not any more: a rate of 0 says so to the kernel. */
function lifted(from: HostConfig, to: HostConfig, key: RateList): { Path: string; Rate: number }[] {
  const still = new Set((to[key] ?? []).map(({ Path }) => Path));
  return (from[key] ?? []).flatMap(({ Path = "" }) => (still.has(Path) ? [] : [{ Path, Rate: 0 }]));
}
