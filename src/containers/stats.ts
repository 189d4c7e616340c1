import { now } from "../base/clock.ts";
import type { ContainerStatsResponse } from "../wire/engine-api.ts";
import { hostCpu } from "../linux/host-cpu.ts";
import type { Task } from "../runtime/runtime.ts";
import { type Context, find, liveOf } from "./context.ts";
import { rowById } from "./rows.ts";
import { type CpuSample, CpuSamples } from "./stats-samples.ts";
import { emptyAnswer, statsAnswer } from "./stats-shape.ts";
import { type StatsRow, statsRows } from "./stats-rows.ts";

/** How often a sample is taken that nobody asked for: the first answer compares with it. */
const SAMPLE_MILLISECONDS = 10_000;
/** The first one, for containers that an earlier daemon started. */
const FIRST_MILLISECONDS = 1_000;
/** How long the descriptors of a container are kept after somebody asked for it. */
const REST_MILLISECONDS = 30_000;
const STREAM_MILLISECONDS = 1_000;
/** The main thread is given to others after this many milliseconds of reading. */
const SLICE_MILLISECONDS = 2;

/** What containers use: reads it when asked, and samples processor time now and then, so that the first answer has a share of it. */
export class Stats {
  readonly #context: Context;
  readonly #samples = new CpuSamples();
  /** When somebody last asked for a container whose descriptors are open. */
  readonly #asked = new Map<Task, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Begins to sample. */
  start(): void {
    this.#later(FIRST_MILLISECONDS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** See `Containers.stats`: what is unknown is refused at once. */
  of(
    reference: string,
    options: { stream: boolean; oneShot: boolean; signal?: AbortSignal },
  ): AsyncGenerator<ContainerStatsResponse, void, undefined> {
    return this.#stream(find(this.#context, reference).id, options);
  }

  /** See `Containers.allStats`. */
  async all(options: { all: boolean; references?: readonly string[] }): Promise<ContainerStatsResponse[]> {
    const { state } = this.#context.needs;
    const { references } = options;
    const rows: StatsRow[] = references === undefined ? statsRows(state, options.all) : references.map((one) => find(this.#context, one));
    const host = hostCpu();
    const answers: ContainerStatsResponse[] = [];
    await inSlices(rows, (row) => void answers.push(this.#answer(row, host, false)));
    return answers;
  }

  async *#stream(
    id: string,
    { stream, oneShot, signal }: { stream: boolean; oneShot: boolean; signal?: AbortSignal },
  ): AsyncGenerator<ContainerStatsResponse, void, undefined> {
    const live = liveOf(this.#context, id);
    let over = signal?.aborted ?? false;
    let wake = (): void => undefined;
    const end = (): void => {
      over = true;
      wake();
    };
    live.removeWaiters.add(end);
    signal?.addEventListener("abort", end, { once: true });
    try {
      let last: ContainerStatsResponse | undefined;
      while (!over) {
        const row = rowById(this.#context.needs.state, id);
        if (row === undefined) return;
        const answer = this.#answer(row, hostCpu(), oneShot);
        if (last !== undefined) Object.assign(answer, { preread: last.read, precpu_stats: last.cpu_stats });
        yield (last = answer);
        if (!stream) return;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, STREAM_MILLISECONDS);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    } finally {
      live.removeWaiters.delete(end);
      signal?.removeEventListener("abort", end);
    }
  }

  #answer(row: StatsRow, host: CpuSample["host"], alone: boolean): ContainerStatsResponse {
    const task = this.#context.live.get(row.id)?.task;
    const usage = task?.meter.read();
    if (task === undefined || usage === undefined) return emptyAnswer(row);
    this.#asked.set(task, performance.now());
    const sample = { time: usage.time, cpu: usage.cpu, host };
    const before = alone ? undefined : this.#samples.before(task, sample, row.started);
    this.#samples.keep(task, sample);
    return statsAnswer(row, usage, host, before);
  }

  #later(milliseconds: number): void {
    this.#timer = setTimeout(() => void this.#sample(), milliseconds).unref();
  }

  async #sample(): Promise<void> {
    const time = performance.now();
    for (const [task, asked] of this.#asked) {
      if (time - asked < REST_MILLISECONDS) continue;
      task.meter.rest();
      this.#asked.delete(task);
    }
    const host = hostCpu();
    await inSlices([...this.#context.live.values()], ({ task }) => {
      const cpu = task?.meter.cpu();
      if (task !== undefined && cpu !== undefined) this.#samples.keep(task, { time: now(), cpu, host });
    });
    if (this.#timer !== undefined) this.#later(SAMPLE_MILLISECONDS);
  }
}

/** Does something for each item, letting others have their turn in between. */
async function inSlices<T>(items: readonly T[], act: (item: T) => void): Promise<void> {
  let begun = performance.now();
  for (const item of items) {
    act(item);
    if (performance.now() - begun < SLICE_MILLISECONDS) continue;
    await new Promise<void>((resolve) => void setImmediate(resolve));
    begun = performance.now();
  }
}
