import { availableParallelism } from "node:os";
import { existsSync, readFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { discardLimits } from "./discard-limits.ts";

const SIX_MB = 6 * 1024 * 1024;

/** What the machine has, against which limits are checked. */
export interface Machine {
  cpus: number;
  /** `0-3,8`, as the kernel lists what is online. */
  onlineCpus: string;
  onlineMemoryNodes: string;
  cgroupVersion: 1 | 2;
  /** Names of the controllers in force. */
  controllers: readonly string[];
  /** Whether a controller of cgroup v1 has a file of this name here. */
  has(controller: string, file: string): boolean;
}

/** The machine as it is now. */
export function thisMachine(cgroup: { version: 1 | 2; controllers: string[] }): Machine {
  return {
    cpus: availableParallelism(),
    // Read only for who asks: `--cpuset-cpus` is rare.
    get onlineCpus() {
      return readList("/sys/devices/system/cpu/online");
    },
    get onlineMemoryNodes() {
      return readList("/sys/devices/system/node/online");
    },
    cgroupVersion: cgroup.version,
    controllers: cgroup.controllers,
    has: (controller, file) => existsSync(`/sys/fs/cgroup/${controller}/${file}`),
  };
}

function readList(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "0";
  }
}

/**
 * Checks the limits of a HostConfig with Docker's texts (`invalid`), and drops what the kernel cannot enforce, saying so.
 * @returns Docker's warnings
 */
export function validateResources(host: HostConfig, machine: Machine): string[] {
  const warnings = discardLimits(host, machine);
  checkMemory(host);
  checkCpu(host, machine);
  checkBlkio(host);
  const pids = host.PidsLimit ?? 0;
  if (pids < -1) throw invalid(`Invalid value: ${pids}, valid pids limit is -1 or more`);
  if ((host.OomScoreAdj ?? 0) < -1000 || (host.OomScoreAdj ?? 0) > 1000)
    throw invalid(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  if ((host.ShmSize ?? 0) < 0) throw invalid("SHM size can not be less than 0");
  return warnings;
}

function checkMemory(host: HostConfig): void {
  const { Memory = 0, MemorySwap = 0, MemoryReservation = 0 } = host;
  const swappiness = host.MemorySwappiness ?? -1;
  if (Memory !== 0 && Memory < SIX_MB) throw invalid("Minimum memory limit allowed is 6MB");
  if (Memory > 0 && MemorySwap > 0 && MemorySwap < Memory)
    throw invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
  if (Memory === 0 && MemorySwap > 0) throw invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
  if (swappiness < -1 || swappiness > 100) throw invalid(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  if (MemoryReservation !== 0 && MemoryReservation < SIX_MB) throw invalid("Minimum memory reservation allowed is 6MB");
  if (Memory > 0 && MemoryReservation > Memory)
    throw invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
}

function checkCpu(host: HostConfig, machine: Machine): void {
  const { NanoCpus = 0, CpuPeriod = 0, CpuQuota = 0, CpuShares = 0, CpusetCpus = "", CpusetMems = "" } = host;
  if (NanoCpus !== 0 && CpuPeriod !== 0) throw invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  if (NanoCpus !== 0 && CpuQuota !== 0) throw invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  if (NanoCpus > 0 && !machine.controllers.includes("cpu"))
    throw invalid("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted");
  if (NanoCpus < 0 || NanoCpus > machine.cpus * 1e9)
    throw invalid(`range of CPUs is from 0.01 to ${machine.cpus}.00, as there are only ${machine.cpus} CPUs available`);
  if (CpuShares < 0) throw invalid(`invalid CPU shares (${CpuShares}): value must be a positive integer`);
  if (CpuPeriod !== 0 && (CpuPeriod < 1000 || CpuPeriod > 1_000_000))
    throw invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  if (CpuQuota > 0 && CpuQuota < 1000) throw invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  if ((host.CpuPercent ?? 0) > 0) host.CpuPercent = 0;
  checkSet(CpusetCpus, machine.onlineCpus, "cpuset cpus", "CPUs");
  checkSet(CpusetMems, machine.onlineMemoryNodes, "cpuset mems", "memory nodes");
}

function checkSet(asked: string, online: string, name: string, what: string): void {
  if (asked === "") return;
  const wanted = parseSet(asked);
  if (wanted === undefined) throw invalid(`Invalid value ${asked} for ${name}: invalid format: ${asked}`);
  const available = parseSet(online) ?? new Set();
  for (const number of wanted) {
    if (!available.has(number)) throw invalid(`Requested ${what} are not available - requested ${asked}, available: ${online}`);
  }
}

/** Numbers of a list in the kernel's form (`0-2,7`); undefined for what is none. */
export function parseSet(text: string): Set<number> | undefined {
  const numbers = new Set<number>();
  for (const part of text.split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (!match) return undefined;
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    if (to < from) return undefined;
    for (let number = from; number <= to; number++) numbers.add(number);
  }
  return numbers;
}

function checkBlkio(host: HostConfig): void {
  const inRange = (weight: number): boolean => weight === 0 || (weight >= 10 && weight <= 1000);
  if (!inRange(host.BlkioWeight ?? 0)) throw invalid("Range of blkio weight is from 10 to 1000");
  for (const { Path = "", Weight = 0 } of host.BlkioWeightDevice ?? []) {
    if (!inRange(Weight)) throw invalid(`range of blkio weight device is from 10 to 1000: ${Path}:${Weight}`);
  }
  if (host.IOMaximumBandwidth || host.IOMaximumIOps) throw invalid("invalid option: IO limits by maximum are not supported on Linux");
}

function invalid(text: string): LighterError {
  return new LighterError("invalid", text);
}
