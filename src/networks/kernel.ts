import { LighterError } from "../base/errors.ts";
import type { JobAnswer, Jobs } from "./jobs.ts";

/** An error of a network job: `code` is the errno's name where the kernel refused. */
export interface JobError extends LighterError {
  code?: string;
}

/** The main thread's hand on the network Worker. */
export class Kernel {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 1;
  /** Why the Worker does no more jobs: they are refused at once, so that nobody holds a lock for ever. */
  #broken: string | undefined;

  constructor() {
    this.#worker = new Worker(new URL("./network.worker.ts", import.meta.url));
    this.#worker.addEventListener("message", ({ data }: MessageEvent<JobAnswer>) => this.#settle(data));
    this.#worker.addEventListener("error", ({ message }) => this.#fail(message));
  }

  /** Has a job done; jobs are done one after another. Throws `internal` with the errno's name as `code` where the kernel refuses. */
  async do<Name extends keyof Jobs>(job: Name, argument: Jobs[Name][0]): Promise<Jobs[Name][1]> {
    if (this.#broken !== undefined) throw failure(this.#broken);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const id = this.#next++;
    this.#waiting.set(id, { resolve, reject });
    this.#worker.postMessage({ id, job, argument });
    return (await promise) as Jobs[Name][1];
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
    this.#fail("the network Worker was stopped");
  }

  #settle(answer: JobAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.error === undefined) return waiting?.resolve(answer.result);
    waiting?.reject(Object.assign(new LighterError("internal", answer.error.message), { code: answer.error.code }));
  }

  #fail(message: string): void {
    this.#broken = message;
    for (const { reject } of this.#waiting.values()) reject(failure(message));
    this.#waiting.clear();
  }
}

function failure(message: string): LighterError {
  return new LighterError("internal", `Cannot change the network: ${message}`);
}
