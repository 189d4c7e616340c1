import type { Nanoseconds } from "../base/clock.ts";
import type { Task } from "../runtime/runtime.ts";
import type { CpuUsage } from "../runtime/usage.ts";

/** Processor time of a container and of its host at one moment: two of them make a share. */
export interface CpuSample {
  time: Nanoseconds;
  cpu: CpuUsage;
  host: { total: number; online: number };
}

/** A share over less than this says little. */
const GOOD_NANOSECONDS = 900_000_000n;
/** The host counts in hundredths of a second: over less than this a share is noise. */
const LEAST_NANOSECONDS = 100_000_000n;
const KEPT = 2;

const NOTHING: CpuUsage = { total: 0, user: 0, system: 0, periods: 0, throttledPeriods: 0, throttledTime: 0 };

/** The last samples of each container, so that the first answer that somebody asks for has something to compare with. */
export class CpuSamples {
  readonly #byTask = new WeakMap<Task, CpuSample[]>();

  /** The youngest sample that was kept of a process. */
  last(task: Task): CpuSample | undefined {
    return this.#byTask.get(task)?.at(-1);
  }

  /** Keeps a sample unless the last one is as good as new. */
  keep(task: Task, sample: CpuSample): void {
    const kept = this.#byTask.get(task) ?? [];
    const last = kept.at(-1);
    if (last !== undefined && sample.time - last.time < GOOD_NANOSECONDS) return;
    this.#byTask.set(task, [...kept, sample].slice(-KEPT));
  }

  /**
   * What to compare a sample with: about the last second, else the time since the last sample, else the time since the process began.
   * @param started when that was
   */
  before(task: Task, sample: CpuSample, started: Nanoseconds): CpuSample {
    const kept = this.#byTask.get(task) ?? [];
    const good = kept.findLast(({ time }) => sample.time - time >= GOOD_NANOSECONDS);
    return good ?? kept.find(({ time }) => sample.time - time >= LEAST_NANOSECONDS) ?? birth(sample, started);
  }
}

/** At its beginning a container had used nothing; the host's processors pass a second each a second, whether they work or not. */
function birth({ time, host }: CpuSample, started: Nanoseconds): CpuSample {
  const age = Math.max(0, Number(time - started));
  return { time: started, cpu: NOTHING, host: { ...host, total: Math.max(0, host.total - age * host.online) } };
}
