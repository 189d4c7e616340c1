import type { ContainerStatsResponse } from "../wire/engine-api.ts";

/** The numbers that `stats` shows of a container. */
export interface StatsNumbers {
  /** Share of one processor in percent: 200 for two of them. */
  cpu: number;
  /** Processors of the host. */
  processors: number;
  memory: number;
  memoryLimit: number;
  memoryShare: number;
  received: number;
  sent: number;
  read: number;
  written: number;
  pids: number;
}

/** Docker's arithmetic: memory without the page cache that the kernel would give up first, processor time against the host's. */
export function numbersOf(stats: ContainerStatsResponse): StatsNumbers {
  const memory = usedMemory(stats);
  const memoryLimit = stats.memory_stats?.limit ?? 0;
  const interfaces = Object.values((stats.networks ?? {}) as Record<string, { rx_bytes?: number; tx_bytes?: number }>);
  return {
    ...cpuOf(stats),
    memory,
    memoryLimit,
    memoryShare: memoryLimit > 0 ? (memory / memoryLimit) * 100 : 0,
    received: sum(interfaces.map((one) => one.rx_bytes)),
    sent: sum(interfaces.map((one) => one.tx_bytes)),
    ...blocksOf(stats),
    pids: stats.pids_stats?.current ?? 0,
  };
}

function usedMemory({ memory_stats: memory }: ContainerStatsResponse): number {
  const usage = memory?.usage ?? 0;
  const idle = memory?.stats?.["total_inactive_file"] ?? memory?.stats?.["inactive_file"] ?? 0;
  return idle < usage ? usage - idle : usage;
}

function cpuOf({ cpu_stats: after, precpu_stats: before }: ContainerStatsResponse): { cpu: number; processors: number } {
  const processors = after?.online_cpus || after?.cpu_usage?.percpu_usage?.length || 1;
  const used = (after?.cpu_usage?.total_usage ?? 0) - (before?.cpu_usage?.total_usage ?? 0);
  const passed = (after?.system_cpu_usage ?? 0) - (before?.system_cpu_usage ?? 0);
  return { cpu: used > 0 && passed > 0 ? (used / passed) * processors * 100 : 0, processors };
}

function blocksOf({ blkio_stats: blocks }: ContainerStatsResponse): { read: number; written: number } {
  const entries = blocks?.io_service_bytes_recursive ?? [];
  const of = (op: string): number => sum(entries.map((entry) => (entry?.op?.toLowerCase() === op ? entry.value : 0)));
  return { read: of("read"), written: of("write") };
}

function sum(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((total, value) => total + (value ?? 0), 0);
}
