import { LighterError } from "../base/errors.ts";
import { LastingWorker } from "../linux/lasting-worker.ts";
import type { JobAnswer, Jobs } from "./jobs.ts";

/** An error of a network job: `code` is the errno's name where the kernel refused. */
export interface JobError extends LighterError {
  code?: string;
}

const STOPPED = "the network thread was stopped";

/** The main thread's hand on the network Worker. */
export class Kernel {
  readonly #worker: LastingWorker;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 1;
  #ended = false;

  constructor() {
    this.#worker = new LastingWorker({
      name: "network thread",
      start: () => new Worker(new URL("./network.worker.ts", import.meta.url)),
      message: (answer: JobAnswer) => this.#settle(answer),
      lost: ({ message }) => this.#fail(message),
    });
  }

  /** Has a job done; jobs are done one after another. Throws `internal` with the errno's name as `code` where the kernel refuses. */
  async do<Name extends keyof Jobs>(job: Name, argument: Jobs[Name][0]): Promise<Jobs[Name][1]> {
    if (this.#ended) throw failure(STOPPED);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const id = this.#next++;
    this.#waiting.set(id, { resolve, reject });
    this.#worker.post({ id, job, argument });
    return (await promise) as Jobs[Name][1];
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#worker.end();
    this.#fail(STOPPED);
  }

  #settle(answer: JobAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.error === undefined) return waiting?.resolve(answer.result);
    waiting?.reject(Object.assign(new LighterError("internal", answer.error.message), { code: answer.error.code }));
  }

  #fail(message: string): void {
    for (const { reject } of this.#waiting.values()) reject(failure(message));
    this.#waiting.clear();
  }
}

function failure(message: string): LighterError {
  return new LighterError("internal", `Cannot change the network: ${message}`);
}
