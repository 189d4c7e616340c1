import { logOf } from "../base/log.ts";

/** A Worker that dies sooner than this after its start, in ms, is followed by the next one only after as long. */
const SHORT_LIFE = 1000;

/** What a thread is told and what it tells. */
export interface LastingWorkerOptions {
  /** For the log: "spawn thread". */
  name: string;
  /** Makes the Worker: `() => new Worker(new URL("./x.worker.ts", import.meta.url))`. */
  start: () => Worker;
  message: (data: never) => void;
  /** It died with all that it had been asked: whoever waits is to be told. The next one is there already, or comes with the next message. */
  lost: (error: Error) => void;
  /** The first message of each Worker; `again` for one that follows another. */
  greeting?: (again: boolean) => unknown;
  /** Another one has taken the place of one that died. */
  revived?: () => void;
}

/**
 * A thread that is there for as long as the process: one that dies (by an error that nobody took, or for want of memory) is noticed, said in the log,
 * and another one takes its place. What it kept must be with the caller, or in the kernel.
 */
export class LastingWorker {
  readonly #options: LastingWorkerOptions;
  #worker: Worker | undefined;
  #started = 0;
  #again = false;
  #referenced = true;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(options: LastingWorkerOptions) {
    this.#options = options;
    this.#begin();
  }

  post(message: unknown): void {
    if (this.#ended) return;
    (this.#worker ?? this.#begin()).postMessage(message);
  }

  /** Whether the thread alone keeps the process alive; it does from its start on. */
  keepAlive(wanted: boolean): void {
    this.#referenced = wanted;
    if (this.#worker !== undefined) hold(this.#worker, wanted);
  }

  /** Ends the thread for good. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #begin(): Worker {
    clearTimeout(this.#timer);
    const { start, message, greeting, revived } = this.#options;
    const worker = start();
    this.#worker = worker;
    this.#started = performance.now();
    worker.addEventListener("message", ({ data }: MessageEvent) => message(data as never));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#lose(worker, reasonOf(event.message));
    });
    worker.addEventListener("close", () => this.#lose(worker, "it ended"));
    if (!this.#referenced) hold(worker, false);
    if (greeting !== undefined) worker.postMessage(greeting(this.#again));
    if (this.#again) revived?.();
    this.#again = true;
    return worker;
  }

  #lose(worker: Worker, why: string): void {
    if (this.#ended || this.#worker !== worker) return;
    const { name, lost } = this.#options;
    this.#worker = undefined;
    worker.terminate();
    logOf("linux").error("the {name} died, another one takes its place: {why}", { name, why });
    const wait = performance.now() - this.#started < SHORT_LIFE ? SHORT_LIFE : 0;
    this.#timer = setTimeout(() => this.#begin(), wait);
    lost(new Error(`The ${name} died while it was at work: ${why}`));
  }
}

function hold(worker: Worker, wanted: boolean): void {
  if (wanted) worker.ref();
  else worker.unref();
}

/** Bun's text of an error in a Worker is a piece of the source with the message below. */
export function reasonOf(text: string): string {
  const line = text.split("\n").find((one) => /^\w*error: /i.test(one));
  return (line ?? text.split("\n")[0] ?? text).trim();
}
