import { now } from "../base/clock.ts";
import { KernelFile } from "../linux/kernel-file.ts";
import type { CpuUsage, MemoryUsage, Meter, Usage } from "./usage.ts";
import type { NetworkMeter } from "./network-meter.ts";
import { blockLines, keyed, numberIn, numberOf } from "./usage-text.ts";

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
const MEMORY_KEYS: ReadonlySet<string> = new Set([
  ...MEMORY_OWN,
  ...MEMORY_OWN.map((key) => `total_${key}`),
  "hierarchical_memory_limit",
  "hierarchical_memsw_limit",
]);

/**
 * The meter of a cgroup in the hierarchies of v1.
 * @see https://www.kernel.org/doc/html/latest/admin-guide/cgroup-v1/
 */
export class MeterV1 implements Meter {
  readonly #network: NetworkMeter;
  readonly #file: (controller: string, name: string) => KernelFile;
  readonly #kept = new Map<string, KernelFile>();

  /** @param directory the cgroup's directory in a controller's hierarchy; undefined where it is not mounted */
  constructor(directory: (controller: string) => string | undefined, network: NetworkMeter) {
    this.#network = network;
    this.#file = (controller, name) => new KernelFile(`${directory(controller) ?? "/nonexistent"}/${name}`);
  }

  read(): Usage | undefined {
    const cpu = this.#cpu((controller, name) => this.#keep(controller, name));
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
    return this.#cpu((controller, name) => this.#once(controller, name));
  }

  rest(): void {
    this.#network.rest();
    for (const file of this.#kept.values()) file.rest();
  }

  #cpu(read: (controller: string, name: string) => string | undefined): CpuUsage | undefined {
    const perCpu = read("cpuacct", "cpuacct.usage_percpu")?.trim().split(" ").map(Number);
    if (perCpu === undefined) return undefined;
    const ticks = keyed(read("cpuacct", "cpuacct.stat"));
    const quota = keyed(read("cpu", "cpu.stat"));
    return {
      total: perCpu.reduce((sum, value) => sum + value, 0),
      perCpu,
      user: numberIn(ticks, "user") * TICK_NANOSECONDS,
      system: numberIn(ticks, "system") * TICK_NANOSECONDS,
      periods: numberIn(quota, "nr_periods"),
      throttledPeriods: numberIn(quota, "nr_throttled"),
      throttledTime: numberIn(quota, "throttled_time"),
    };
  }

  #memory(): MemoryUsage {
    const all = keyed(this.#keep("memory", "memory.stat"), MEMORY_KEYS);
    const asked = numberIn(all, "hierarchical_memory_limit");
    const limit = asked === 0 || asked > NO_LIMIT ? undefined : asked;
    // What has no limit cannot have hit it.
    const failures = limit === undefined ? 0 : numberOf(this.#keep("memory", "memory.failcnt"));
    return {
      usage: numberOf(this.#keep("memory", "memory.usage_in_bytes")),
      most: numberOf(this.#keep("memory", "memory.max_usage_in_bytes")),
      ...(failures === 0 ? {} : { failures }),
      ...(limit === undefined ? {} : { limit }),
      stats: Object.fromEntries(all),
    };
  }

  #keep(controller: string, name: string): string | undefined {
    let file = this.#kept.get(name);
    if (file === undefined) this.#kept.set(name, (file = this.#file(controller, name)));
    return file.read();
  }

  /** What is asked for alone: no descriptor stays for it. */
  #once(controller: string, name: string): string | undefined {
    const file = this.#file(controller, name);
    try {
      return file.read();
    } finally {
      file.rest();
    }
  }
}
