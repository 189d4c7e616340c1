import { totalmem } from "node:os";
import { toRfc3339Nano, ZERO_TIME } from "../base/clock.ts";
import type { BlockUsage, Count, CpuUsage, InterfaceUsage, Usage } from "../runtime/usage.ts";
import type {
  ContainerBlkioStats,
  ContainerCpuStats,
  ContainerMemoryStats,
  ContainerNetworkStats,
  ContainerStatsResponse,
} from "../wire/engine-api.ts";
import type { CpuSample } from "./stats-samples.ts";

let memory: number | undefined;
let raw: { count: bigint; json: number } | undefined;

/** The answer for a container that runs; without `before` as one that is not compared with anything. */
export function statsAnswer(
  of: { id: string; name: string },
  usage: Usage,
  host: CpuSample["host"],
  before: CpuSample | undefined,
): ContainerStatsResponse {
  return {
    read: toRfc3339Nano(usage.time),
    preread: before === undefined ? ZERO_TIME : toRfc3339Nano(before.time),
    pids_stats: { current: usage.pids.current, ...(usage.pids.limit === 0 ? {} : { limit: exact(usage.pids.limit) }) },
    blkio_stats: blockStats(usage),
    num_procs: 0,
    storage_stats: {},
    cpu_stats: cpuStats(usage.cpu, host),
    precpu_stats: before === undefined ? NO_CPU : cpuStats(before.cpu, before.host),
    memory_stats: memoryStats(usage),
    name: `/${of.name}`,
    id: of.id,
    os_type: "linux",
    ...networkStats(usage.networks),
  };
}

/** The answer for a container that does not run: Docker's zeros. */
export function emptyAnswer(of: { id: string; name: string }): ContainerStatsResponse {
  return {
    read: ZERO_TIME,
    preread: ZERO_TIME,
    pids_stats: {},
    blkio_stats: blockFields(null),
    num_procs: 0,
    storage_stats: {},
    cpu_stats: NO_CPU,
    precpu_stats: NO_CPU,
    memory_stats: {},
    name: `/${of.name}`,
    id: of.id,
    os_type: "linux",
  };
}

const NO_CPU: ContainerCpuStats = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

function cpuStats(cpu: CpuUsage, host: CpuSample["host"]): ContainerCpuStats {
  return {
    cpu_usage: {
      total_usage: cpu.total,
      ...(cpu.perCpu === undefined ? {} : { percpu_usage: cpu.perCpu }),
      usage_in_kernelmode: cpu.system,
      usage_in_usermode: cpu.user,
    },
    system_cpu_usage: host.total,
    online_cpus: host.online,
    throttling_data: { periods: cpu.periods, throttled_periods: cpu.throttledPeriods, throttled_time: cpu.throttledTime },
  };
}

function memoryStats({ memory: used }: Usage): ContainerMemoryStats {
  const most = (memory ??= totalmem());
  const { stats } = used;
  for (const key in stats) if (typeof stats[key] === "bigint") stats[key] = exact(stats[key]);
  return {
    usage: used.usage,
    ...(used.most === undefined ? {} : { max_usage: used.most }),
    stats: stats as Record<string, number>,
    ...(used.failures === undefined ? {} : { failcnt: used.failures }),
    limit: Math.min(used.limit ?? most, most),
  };
}

function blockStats({ blockBytes, blockOperations }: Usage): ContainerBlkioStats {
  const fields = blockFields(blockOperations === undefined ? null : []);
  fields.io_service_bytes_recursive = blockBytes satisfies BlockUsage[];
  if (blockOperations !== undefined) fields.io_serviced_recursive = blockOperations;
  return fields as NonNullable<ContainerBlkioStats>;
}

type BlockFields = Record<keyof NonNullable<ContainerBlkioStats>, BlockUsage[] | null>;

function blockFields(value: [] | null): BlockFields & NonNullable<ContainerBlkioStats> {
  const fields: BlockFields = {
    io_service_bytes_recursive: value,
    io_serviced_recursive: value,
    io_queue_recursive: value,
    io_service_time_recursive: value,
    io_wait_time_recursive: value,
    io_merged_recursive: value,
    io_time_recursive: value,
    sectors_recursive: value,
  };
  // The schema knows no null for the first of them, Docker sends it.
  return fields as BlockFields & NonNullable<ContainerBlkioStats>;
}

function networkStats(networks: Record<string, InterfaceUsage> | undefined): { networks?: Record<string, ContainerNetworkStats> } {
  const entries = Object.entries(networks ?? {});
  if (entries.length === 0) return {};
  return { networks: Object.fromEntries(entries.map(([name, counters]) => [name, interfaceStats(counters)])) };
}

function interfaceStats(of: InterfaceUsage): ContainerNetworkStats {
  return {
    rx_bytes: of.rxBytes,
    rx_packets: of.rxPackets,
    rx_errors: of.rxErrors,
    rx_dropped: of.rxDropped,
    tx_bytes: of.txBytes,
    tx_packets: of.txPackets,
    tx_errors: of.txErrors,
    tx_dropped: of.txDropped,
  };
}

/** A count as JSON with all its digits, which clients in other languages read in full. */
function exact(count: Count): number {
  if (typeof count === "number") return count;
  // Mostly it is the same one, for "no limit", in each of a hundred containers.
  if (raw?.count !== count) raw = { count, json: (JSON as unknown as { rawJSON(text: string): number }).rawJSON(String(count)) };
  return raw.json;
}
