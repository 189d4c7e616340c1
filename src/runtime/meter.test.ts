import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CgroupHost } from "./cgroup-host.ts";
import { openMeter } from "./meter.ts";
import { interfaces } from "./interfaces.ts";
import { blockLines, countOf, ioStat } from "./usage-text.ts";

/** A pid that nobody has: no network to look at. */
const NOBODY = 2 ** 22 + 1;

function tree(files: Record<string, string>): { root: string; [Symbol.dispose](): void } {
  const root = mkdtempSync(join(tmpdir(), "lighter-meter-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(root, name, ".."), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true }) };
}

function host(version: 1 | 2, root: string, controllers: string[]): CgroupHost {
  const mounts = new Map(version === 1 ? controllers.map((name) => [name, `${root}/${name}`]) : []);
  return { version, hybrid: false, mounts, unified: version === 2 ? root : "", controllers };
}

test("v2: a scope of systemd's, in the form of the kernel's documentation", () => {
  const scope = "lighter.slice/lighter-abc.scope";
  using files = tree({
    [`${scope}/cpu.stat`]:
      "usage_usec 2500123\nuser_usec 1500000\nsystem_usec 1000123\nnice_usec 0\ncore_sched.force_idle_usec 0\nnr_periods 40\nnr_throttled 7\nthrottled_usec 90001\nnr_bursts 0\nburst_usec 0\n",
    [`${scope}/memory.current`]: "52428800\n",
    [`${scope}/memory.max`]: "67108864\n",
    [`${scope}/memory.stat`]:
      "anon 1048576\nfile 41943040\nkernel 532480\nkernel_stack 16384\nsock 4096\nshmem 0\nfile_mapped 8192\nfile_dirty 0\ninactive_file 31457280\nactive_file 10485760\npgfault 1234\nworkingset_refault_anon 0\n",
    [`${scope}/pids.current`]: "3\n",
    [`${scope}/pids.max`]: "max\n",
    [`${scope}/io.stat`]:
      "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n7:0 \n8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
  });
  const meter = openMeter(host(2, files.root, ["cpu", "io", "memory", "pids"]), `/${scope}`, NOBODY);
  const usage = meter.read();
  expect(usage?.cpu).toEqual({
    total: 2_500_123_000,
    user: 1_500_000_000,
    system: 1_000_123_000,
    periods: 40,
    throttledPeriods: 7,
    throttledTime: 90_001_000,
  });
  expect(usage?.memory).toMatchObject({ usage: 52428800, limit: 67108864, stats: { inactive_file: 31457280, anon: 1048576, slab: 0 } });
  expect(usage?.memory.most).toBeUndefined();
  expect(usage?.pids).toEqual({ current: 3, limit: 18446744073709551615n });
  expect(usage?.blockBytes).toEqual([
    { major: 8, minor: 16, op: "read", value: 1459200 },
    { major: 8, minor: 16, op: "write", value: 314773504 },
    { major: 8, minor: 0, op: "read", value: 4096 },
    { major: 8, minor: 0, op: "write", value: 0 },
  ]);
  expect(usage?.blockOperations).toBeUndefined();
  expect(meter.cpu()).toEqual(usage?.cpu);
  // Kept descriptors see what the kernel writes next; a rest opens them anew.
  writeFileSync(join(files.root, scope, "memory.current"), "1\n");
  expect(meter.read()?.memory.usage).toBe(1);
  meter.rest();
  expect(meter.read()?.memory.usage).toBe(1);
  meter.close();
  expect(meter.read()).toBeUndefined();
});

test("v2: without limits, and without controllers", () => {
  using files = tree({ "x/cpu.stat": "usage_usec 5\nuser_usec 2\nsystem_usec 3\n", "x/memory.max": "max\n", "x/pids.max": "50\n" });
  const usage = openMeter(host(2, files.root, []), "/x", NOBODY).read();
  expect(usage?.cpu.periods).toBe(0);
  expect(usage?.memory).toEqual({ usage: 0, stats: {} });
  expect(usage?.pids.limit).toBe(50);
  expect(usage?.blockBytes).toEqual([]);
  expect(openMeter(host(2, files.root, []), "/gone", NOBODY).read()).toBeUndefined();
});

test("v1: a cgroup in several hierarchies", () => {
  using files = tree({
    "cpuacct/l/a/cpuacct.usage_percpu": "544555234 47982353 \n",
    "cpuacct/l/a/cpuacct.stat": "user 56\nsystem 2\n",
    "cpu/l/a/cpu.stat": "nr_periods 12\nnr_throttled 10\nthrottled_time 393112628\nwait_sum 5\n",
    "memory/l/a/memory.usage_in_bytes": "524288\n",
    "memory/l/a/memory.max_usage_in_bytes": "4087808\n",
    "memory/l/a/memory.failcnt": "3\n",
    "memory/l/a/memory.stat":
      "cache 8192\nrss 61440\nrss_huge 0\nshmem 0\ninactive_file 4096\nhierarchical_memory_limit 67108864\nhierarchical_memsw_limit 9223372036854771712\ntotal_cache 8192\ntotal_inactive_file 4096\n",
    "pids/l/a/pids.current": "2\n",
    "pids/l/a/pids.max": "max\n",
    "blkio/l/a/blkio.throttle.io_service_bytes_recursive": "254:0 Read 4096\n254:0 Write 0\n254:0 Total 4096\nTotal 4096\n",
    "blkio/l/a/blkio.throttle.io_serviced_recursive": "Total 0\n",
  });
  const usage = openMeter(host(1, files.root, ["blkio", "cpu", "cpuacct", "memory", "pids"]), "/l/a", NOBODY).read();
  expect(usage?.cpu).toEqual({
    total: 592537587,
    perCpu: [544555234, 47982353],
    user: 560000000,
    system: 20000000,
    periods: 12,
    throttledPeriods: 10,
    throttledTime: 393112628,
  });
  expect(usage?.memory).toEqual({
    usage: 524288,
    most: 4087808,
    failures: 3,
    limit: 67108864,
    stats: {
      cache: 8192,
      hierarchical_memory_limit: 67108864,
      hierarchical_memsw_limit: 9223372036854771712n,
      inactive_file: 4096,
      rss: 61440,
      rss_huge: 0,
      total_cache: 8192,
      total_inactive_file: 4096,
    },
  });
  expect(usage?.pids).toEqual({ current: 2, limit: 0 });
  expect(usage?.blockBytes.map(({ op, value }) => `${op} ${value}`)).toEqual(["Read 4096", "Write 0", "Total 4096"]);
  expect(usage?.blockOperations).toEqual([]);
});

test("texts of the kernel", () => {
  expect(countOf("9007199254740993")).toBe(9007199254740993n);
  expect(countOf("12")).toBe(12);
  expect(blockLines(undefined)).toEqual([]);
  expect(ioStat("")).toEqual([]);
  const dev = [
    "Inter-|   Receive                                                |  Transmit",
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed",
    "    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0",
    "  eth0: 1234567      12    1    2    0     0          0         0      890       9    3    4    0     0       0          0",
    "  tun0:       5       1    0    0    0     0          0         0        0       0    0    0    0     0       0          0",
  ].join("\n");
  expect(interfaces(Buffer.from(dev), dev.length)).toEqual({
    eth0: { rxBytes: 1234567, rxPackets: 12, rxErrors: 1, rxDropped: 2, txBytes: 890, txPackets: 9, txErrors: 3, txDropped: 4 },
  });
});
