import type { Nanoseconds } from "../base/clock.ts";

/** Bytes or operations of one kind (`Read`, `Write`, `Total` ... on v1; `read`, `write` on v2) on one block device. */
export interface BlockUsage {
  major: number;
  minor: number;
  op: string;
  value: number;
}

/** Counters of one network interface, as the container sees its directions. */
export interface InterfaceUsage {
  rxBytes: number;
  rxPackets: number;
  rxErrors: number;
  rxDropped: number;
  txBytes: number;
  txPackets: number;
  txErrors: number;
  txDropped: number;
}

/** Processor time since the container began, in nanoseconds. */
export interface CpuUsage {
  total: number;
  user: number;
  system: number;
  /** v1: by processor. */
  perCpu?: number[];
  /** Periods of the quota: how many there were, in how many the container had to wait, and for how long. */
  periods: number;
  throttledPeriods: number;
  throttledTime: number;
}

/** A count that may be beyond what a double holds exactly, and is a bigint then. */
export type Count = number | bigint;

/** Memory in bytes. */
export interface MemoryUsage {
  usage: number;
  /** v1: the most that it ever was, and how often the limit was hit. */
  most?: number;
  failures?: number;
  /** The cgroup's own limit; undefined for none. */
  limit?: number;
  /** Further counters under the kernel's names, those that Docker passes on. */
  stats: Record<string, Count>;
}

/** What a container uses, at one moment. */
export interface Usage {
  time: Nanoseconds;
  cpu: CpuUsage;
  memory: MemoryUsage;
  /** Processes and threads. `limit` is 0 for none on v1, and all bits set on v2. */
  pids: { current: number; limit: Count };
  blockBytes: BlockUsage[];
  /** v1 only. */
  blockOperations?: BlockUsage[];
  /** By interface; undefined where the container has no network of its own. */
  networks?: Record<string, InterfaceUsage>;
}

/** Reads what one container uses. All of it are files that the kernel makes up, read through kept descriptors: no process, nothing that waits. */
export interface Meter {
  /** Everything; undefined once the container has ended. Takes about a tenth of a millisecond. */
  read(): Usage | undefined;
  /** Processor time alone, through no kept descriptor. */
  cpu(): CpuUsage | undefined;
  /** Gives the descriptors back; the next read opens them again. */
  rest(): void;
}
