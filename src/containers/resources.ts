import { statSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import type { DeviceRule, Resources, Throttle } from "../oci/spec.ts";
import type { HostConfig, ThrottleDevice } from "../wire/engine-api.ts";
import { deviceNumbers } from "./devices.ts";

/** One CPU's period in microseconds, of which `--cpus` takes a share. */
const PERIOD = 100_000;

/** The cgroup's settings from a HostConfig; only what was asked for is set. */
export function resourcesOf(host: HostConfig, rules: DeviceRule[], cgroupVersion: 1 | 2): Resources {
  const resources: Resources = { devices: rules };
  const memory = memoryOf(host, cgroupVersion);
  if (Object.keys(memory).length > 0) resources.memory = memory;
  const cpu = cpuOf(host);
  if (Object.keys(cpu).length > 0) resources.cpu = cpu;
  const pids = host.PidsLimit ?? 0;
  if (pids !== 0) resources.pids = { limit: pids };
  const blockIO = blockIoOf(host);
  if (Object.keys(blockIO).length > 0) resources.blockIO = blockIO;
  return resources;
}

function memoryOf(host: HostConfig, cgroupVersion: 1 | 2): NonNullable<Resources["memory"]> {
  const { Memory = 0, MemorySwap = 0, MemoryReservation = 0 } = host;
  const swappiness = host.MemorySwappiness ?? -1;
  return {
    ...(Memory > 0 ? { limit: Memory } : {}),
    ...(MemoryReservation > 0 ? { reservation: MemoryReservation } : {}),
    ...(MemorySwap !== 0 && Memory > 0 ? { swap: MemorySwap } : {}),
    ...(swappiness >= 0 && cgroupVersion === 1 ? { swappiness } : {}),
    ...(host.OomKillDisable ? { disableOOMKiller: true } : {}),
  };
}

function cpuOf(host: HostConfig): NonNullable<Resources["cpu"]> {
  const { NanoCpus = 0, CpuShares = 0, CpuQuota = 0, CpuPeriod = 0, CpuRealtimePeriod = 0, CpuRealtimeRuntime = 0 } = host;
  return {
    ...(CpuShares > 0 ? { shares: CpuShares } : {}),
    ...(NanoCpus > 0 ? { period: PERIOD, quota: Math.floor((NanoCpus * PERIOD) / 1e9) } : {}),
    ...(CpuPeriod > 0 ? { period: CpuPeriod } : {}),
    // None below zero, which is the default.
    ...(CpuQuota > 0 ? { quota: CpuQuota } : {}),
    ...(CpuRealtimePeriod > 0 ? { realtimePeriod: CpuRealtimePeriod } : {}),
    ...(CpuRealtimeRuntime > 0 ? { realtimeRuntime: CpuRealtimeRuntime } : {}),
    ...(host.CpusetCpus ? { cpus: host.CpusetCpus } : {}),
    ...(host.CpusetMems ? { mems: host.CpusetMems } : {}),
  };
}

function blockIoOf(host: HostConfig): NonNullable<Resources["blockIO"]> {
  const weights = (host.BlkioWeightDevice ?? []).map(({ Path = "", Weight = 0 }) => ({ ...numbersOf(Path), weight: Weight }));
  const throttles = {
    throttleReadBpsDevice: throttlesOf(host.BlkioDeviceReadBps),
    throttleWriteBpsDevice: throttlesOf(host.BlkioDeviceWriteBps),
    throttleReadIOPSDevice: throttlesOf(host.BlkioDeviceReadIOps),
    throttleWriteIOPSDevice: throttlesOf(host.BlkioDeviceWriteIOps),
  };
  return {
    ...(host.BlkioWeight ? { weight: host.BlkioWeight } : {}),
    ...(weights.length > 0 ? { weightDevice: weights } : {}),
    ...Object.fromEntries(Object.entries(throttles).filter(([, list]) => list.length > 0)),
  };
}

function throttlesOf(devices: ThrottleDevice[] | undefined | null): Throttle[] {
  return (devices ?? []).map(({ Path = "", Rate = 0 }) => ({ ...numbersOf(Path), rate: Rate }));
}

function numbersOf(path: string): { major: number; minor: number } {
  try {
    return deviceNumbers(statSync(path).rdev);
  } catch (cause) {
    throw new LighterError("invalid", `stat ${path}: no such file or directory`, { cause });
  }
}
