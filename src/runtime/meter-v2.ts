import { now } from "../base/clock.ts";
import { KernelFile } from "../linux/kernel-file.ts";
import { KeyedParser } from "./keyed-parser.ts";
import type { Count, CpuUsage, MemoryUsage, Meter, Usage } from "./usage.ts";
import type { NetworkMeter } from "./network-meter.ts";
import { countOf, ioStat, numberIn, numberOf } from "./usage-text.ts";

const MICROSECOND = 1000;
/** What Docker shows for a cgroup without a limit of processes. */
const NO_PIDS_LIMIT = 2n ** 64n - 1n;

/** Those of `memory.stat` that Docker passes on; what a kernel does not count is 0. */
const MEMORY_KEYS = [
  "active_anon",
  "active_file",
  "anon",
  "anon_thp",
  "file",
  "file_dirty",
  "file_mapped",
  "file_writeback",
  "inactive_anon",
  "inactive_file",
  "kernel_stack",
  "pgactivate",
  "pgdeactivate",
  "pgfault",
  "pglazyfree",
  "pglazyfreed",
  "pgmajfault",
  "pgrefill",
  "pgscan",
  "pgsteal",
  "shmem",
  "slab",
  "slab_reclaimable",
  "slab_unreclaimable",
  "sock",
  "thp_collapse_alloc",
  "thp_fault_alloc",
  "unevictable",
  "workingset_activate",
  "workingset_nodereclaim",
  "workingset_refault",
];

const MEMORY = new KeyedParser(MEMORY_KEYS);
const TIMES = new KeyedParser(["usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec"]);

/**
 * The meter of a cgroup in the one tree of v2.
 * @see https://www.kernel.org/doc/html/latest/admin-guide/cgroup-v2.html
 */
export class MeterV2 implements Meter {
  readonly #directory: string;
  readonly #network: NetworkMeter;
  readonly #files = new Map<string, KernelFile>();

  /** @param directory the cgroup's directory */
  constructor(directory: string, network: NetworkMeter) {
    this.#directory = directory;
    this.#network = network;
  }

  read(): Usage | undefined {
    const cpu = cpuOf(this.#kept("cpu.stat"));
    if (cpu === undefined) return undefined;
    const networks = this.#network.read();
    return {
      time: now(),
      cpu,
      memory: this.#memory(),
      pids: { current: numberOf(this.#keep("pids.current")), limit: pidsLimit(this.#keep("pids.max")) },
      blockBytes: ioStat(this.#keep("io.stat")),
      ...(networks === undefined ? {} : { networks }),
    };
  }

  cpu(): CpuUsage | undefined {
    const file = new KernelFile(`${this.#directory}/cpu.stat`);
    try {
      return cpuOf(file);
    } finally {
      file.rest();
    }
  }

  rest(): void {
    this.#network.rest();
    for (const file of this.#files.values()) file.rest();
  }

  #memory(): MemoryUsage {
    const limit = numberOf(this.#keep("memory.max"));
    const all = this.#kept("memory.stat").scan(parseMemory);
    return {
      usage: numberOf(this.#keep("memory.current")),
      ...(limit === 0 ? {} : { limit }),
      stats: all === undefined ? {} : Object.fromEntries(MEMORY_KEYS.map((key) => [key, all[key] ?? 0])),
    };
  }

  #keep(name: string): string | undefined {
    return this.#kept(name).read();
  }

  #kept(name: string): KernelFile {
    let file = this.#files.get(name);
    if (file === undefined) this.#files.set(name, (file = new KernelFile(`${this.#directory}/${name}`)));
    return file;
  }
}

/** `cpu.stat`; without the cpu controller the kernel tells the times there all the same, and no periods. */
function cpuOf(file: KernelFile): CpuUsage | undefined {
  const all = file.scan(parseTimes);
  if (all === undefined) return undefined;
  const microseconds = (key: string): number => numberIn(all, key) * MICROSECOND;
  return {
    total: microseconds("usage_usec"),
    user: microseconds("user_usec"),
    system: microseconds("system_usec"),
    periods: numberIn(all, "nr_periods"),
    throttledPeriods: numberIn(all, "nr_throttled"),
    throttledTime: microseconds("throttled_usec"),
  };
}

function parseMemory(bytes: Uint8Array, length: number): Record<string, Count> {
  return MEMORY.parse(bytes, length);
}

function parseTimes(bytes: Uint8Array, length: number): Record<string, Count> {
  return TIMES.parse(bytes, length);
}

function pidsLimit(text: string | undefined): Count {
  if (text === undefined) return 0;
  return text.trim() === "max" ? NO_PIDS_LIMIT : countOf(text.trim());
}
