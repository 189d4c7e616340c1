import { now } from "../base/clock.ts";
import { KernelFile } from "../linux/kernel-file.ts";
import { KeyedParser } from "./keyed-parser.ts";
import type { Count, CpuUsage, MemoryUsage, Meter, Usage } from "./usage.ts";
import type { NetworkMeter } from "./network-meter.ts";
import { blockLines, numberIn, numberOf } from "./usage-text.ts";

/** cpuacct counts in ticks of a hundredth of a second, whatever the kernel's own clock. */
const TICK_NANOSECONDS = 10_000_000;
/** A limit beyond this is none: the kernel writes the largest number of whole pages. */
const NO_LIMIT = 2 ** 62;

/** Those of `memory.stat` that Docker passes on. */
const MEMORY_OWN = [
  "active_anon",
  "active_file",
  "cache",
  "dirty",
  "inactive_anon",
  "inactive_file",
  "mapped_file",
  "pgfault",
  "pgmajfault",
  "pgpgin",
  "pgpgout",
  "rss",
  "rss_huge",
  "unevictable",
  "writeback",
];
const MEMORY = new KeyedParser([
  ...MEMORY_OWN,
  ...MEMORY_OWN.map((key) => `total_${key}`),
  "hierarchical_memory_limit",
  "hierarchical_memsw_limit",
]);
const TICKS = new KeyedParser(["user", "system"]);
const QUOTA = new KeyedParser(["nr_periods", "nr_throttled", "throttled_time"]);

/**
 * The meter of a cgroup in the hierarchies of v1.
 * @see https://www.kernel.org/doc/html/latest/admin-guide/cgroup-v1/
 */
export class MeterV1 implements Meter {
  readonly #network: NetworkMeter;
  readonly #file: (controller: string, name: string) => KernelFile;
  readonly #files = new Map<string, KernelFile>();
  #last: CpuUsage | undefined;

  /** @param directory the cgroup's directory in a controller's hierarchy; undefined where it is not mounted */
  constructor(directory: (controller: string) => string | undefined, network: NetworkMeter) {
    this.#network = network;
    this.#file = (controller, name) => new KernelFile(`${directory(controller) ?? "/nonexistent"}/${name}`);
  }

  read(): Usage | undefined {
    const cpu = this.#cpu((controller, name) => this.#kept(controller, name));
    if (cpu === undefined) return undefined;
    const networks = this.#network.read();
    const blockBytes = blockLines(this.#keep("blkio", "blkio.throttle.io_service_bytes_recursive"));
    return {
      time: now(),
      cpu,
      memory: this.#memory(),
      pids: { current: numberOf(this.#keep("pids", "pids.current")), limit: numberOf(this.#keep("pids", "pids.max")) },
      blockBytes,
      // A device that passed no bytes did nothing.
      blockOperations: blockBytes.length === 0 ? [] : blockLines(this.#keep("blkio", "blkio.throttle.io_serviced_recursive")),
      ...(networks === undefined ? {} : { networks }),
    };
  }

  cpu(): CpuUsage | undefined {
    const opened: KernelFile[] = [];
    try {
      return this.#cpu((controller, name) => {
        const file = this.#file(controller, name);
        opened.push(file);
        return file;
      });
    } finally {
      // What is asked for alone: no descriptor stays for it.
      for (const file of opened) file.rest();
    }
  }

  rest(): void {
    this.#network.rest();
    for (const file of this.#files.values()) file.rest();
  }

  #cpu(file: (controller: string, name: string) => KernelFile): CpuUsage | undefined {
    const perCpu = file("cpuacct", "cpuacct.usage_percpu").read()?.trim().split(" ").map(Number);
    if (perCpu === undefined) return undefined;
    const total = perCpu.reduce((sum, value) => sum + value, 0);
    // Nothing has run since: what its running is counted by has not changed either.
    if (this.#last?.total === total) return { ...this.#last, perCpu };
    const ticks = file("cpuacct", "cpuacct.stat").scan(parseTicks) ?? {};
    const quota = file("cpu", "cpu.stat").scan(parseQuota) ?? {};
    this.#last = {
      total,
      perCpu,
      user: numberIn(ticks, "user") * TICK_NANOSECONDS,
      system: numberIn(ticks, "system") * TICK_NANOSECONDS,
      periods: numberIn(quota, "nr_periods"),
      throttledPeriods: numberIn(quota, "nr_throttled"),
      throttledTime: numberIn(quota, "throttled_time"),
    };
    return this.#last;
  }

  #memory(): MemoryUsage {
    const all = this.#kept("memory", "memory.stat").scan(parseMemory) ?? {};
    const asked = numberIn(all, "hierarchical_memory_limit");
    const limit = asked === 0 || asked > NO_LIMIT ? undefined : asked;
    // What has no limit cannot have hit it.
    const failures = limit === undefined ? 0 : numberOf(this.#keep("memory", "memory.failcnt"));
    return {
      usage: numberOf(this.#keep("memory", "memory.usage_in_bytes")),
      most: numberOf(this.#keep("memory", "memory.max_usage_in_bytes")),
      ...(failures === 0 ? {} : { failures }),
      ...(limit === undefined ? {} : { limit }),
      stats: all,
    };
  }

  #keep(controller: string, name: string): string | undefined {
    return this.#kept(controller, name).read();
  }

  #kept(controller: string, name: string): KernelFile {
    let file = this.#files.get(name);
    if (file === undefined) this.#files.set(name, (file = this.#file(controller, name)));
    return file;
  }
}

function parseMemory(bytes: Uint8Array, length: number): Record<string, Count> {
  return MEMORY.parse(bytes, length);
}

function parseTicks(bytes: Uint8Array, length: number): Record<string, Count> {
  return TICKS.parse(bytes, length);
}

function parseQuota(bytes: Uint8Array, length: number): Record<string, Count> {
  return QUOTA.parse(bytes, length);
}
