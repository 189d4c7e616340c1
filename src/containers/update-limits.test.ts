import { describe, expect, test } from "bun:test";
import type { HostConfig, Resources } from "../wire/engine-api.ts";
import { changeLimits, limitsBetween } from "./update-limits.ts";

const MB = 1 << 20;
const MACHINE = {
  cpus: 2,
  onlineCpus: "0-1",
  onlineMemoryNodes: "0",
  cgroupVersion: 1 as const,
  controllers: ["memory", "cpu", "cpuset", "pids", "blkio"],
  has: () => true,
};
const change = (host: HostConfig, asked: Resources) => changeLimits(host, asked, MACHINE);

describe("limits of an update", () => {
  test.each<[string, HostConfig, Resources, Partial<HostConfig>]>([
    ["nothing", { Memory: 32 * MB }, {}, {}],
    ["zeros change nothing", { Memory: 32 * MB, CpuShares: 2 }, { Memory: 0, CpuShares: 0, CpusetCpus: "" }, {}],
    ["what is as it was", { CpuShares: 512 }, { CpuShares: 512 }, {}],
    [
      "memory with its swap",
      { Memory: 32 * MB, MemorySwap: 64 * MB },
      { Memory: 128 * MB, MemorySwap: 256 * MB },
      { Memory: 128 * MB, MemorySwap: 256 * MB },
    ],
    ["swap alone", { Memory: 32 * MB, MemorySwap: 64 * MB }, { MemorySwap: 128 * MB }, { MemorySwap: 128 * MB }],
    ["swap without limit", { Memory: 32 * MB, MemorySwap: 64 * MB }, { MemorySwap: -1 }, { MemorySwap: -1 }],
    ["no limit of processes, as Docker shows it", { PidsLimit: 50 }, { PidsLimit: -1 }, { PidsLimit: 0 }],
    ["any number below means the same", {}, { PidsLimit: -5 }, { PidsLimit: 0 }],
    [
      "what Docker's update does not change",
      {},
      { MemorySwappiness: 10, Ulimits: [{ Name: "nofile", Soft: 1, Hard: 1 }], CgroupParent: "x" },
      {},
    ],
  ])("%s", (_, host, asked, fields) => {
    expect(change(host, asked)).toEqual({ fields, warnings: [] });
  });

  test.each<[HostConfig, Resources, string]>([
    [{}, { Memory: 1000 }, "Minimum memory limit allowed is 6MB"],
    [{}, { Memory: 32 * MB }, "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"],
    [
      { MemorySwap: -1 },
      { Memory: 64 * MB },
      "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
    ],
    [{ CpuQuota: 50000 }, { NanoCpus: 5e8 }, "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"],
    [{ CpuPeriod: 50000 }, { NanoCpus: 5e8 }, "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"],
    [{ NanoCpus: 5e8 }, { CpuQuota: 50000 }, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"],
    [{ NanoCpus: 5e8 }, { CpuPeriod: 50000 }, "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"],
  ])("%j and %j: %s", (host, asked, text) => {
    expect(() => change(host, asked)).toThrow(text);
  });
});

describe("what the cgroup is told", () => {
  test("only what changes; the memory's two limits together", () => {
    const to: HostConfig = { Memory: 64 * MB, MemorySwap: 128 * MB, NanoCpus: 5e8, CpuShares: 7, PidsLimit: 9 };
    expect(limitsBetween({}, to, ["MemorySwap"], 1)).toEqual({ memory: { limit: 64 * MB, swap: 128 * MB } });
    expect(limitsBetween({}, to, ["NanoCpus", "PidsLimit"], 1)).toEqual({ cpu: { period: 100_000, quota: 50_000 }, pids: { limit: 9 } });
  });

  test("the way back lifts what was not limited before", () => {
    expect(
      limitsBetween(
        { Memory: 64 * MB, NanoCpus: 5e8, CpuShares: 7, PidsLimit: 9 },
        {},
        ["Memory", "NanoCpus", "CpuShares", "PidsLimit"],
        1,
      ),
    ).toEqual({
      memory: { limit: -1, swap: -1 },
      cpu: { shares: 1024, quota: -1, period: 100_000 },
      pids: { limit: -1 },
    });
    const rate = { BlkioDeviceReadBps: [{ Path: "/dev/null", Rate: 5 }] };
    expect(limitsBetween(rate, {}, ["BlkioDeviceReadBps"], 1)).toEqual({
      blockIO: { throttleReadBpsDevice: [{ major: 1, minor: 3, rate: 0 }] },
    });
  });
});
