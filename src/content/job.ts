import { LighterError, type ErrorKind, kindOf, messageOf } from "../base/errors.ts";

/** How an error crosses from a Worker: class instances do not. */
export interface PlainError {
  kind: ErrorKind;
  message: string;
  code?: string;
}

/** What goes between the pool and its Workers, in both directions; `job` numbers the job. */
export type Message =
  | { job: number; type: "start"; name: string; args: unknown }
  | { job: number; type: "value"; value: unknown }
  | { job: number; type: "taken" }
  | { job: number; type: "end" }
  | { job: number; type: "abort" }
  | { job: number; type: "done"; result: unknown }
  | { job: number; type: "failed"; error: PlainError };

/** Takes any thrown value apart, for the way between threads. */
export function toPlain(error: unknown): PlainError {
  const code = (error as { code?: unknown } | null)?.code;
  const kind = kindOf(error);
  const message = messageOf(error);
  const words = kind === "no-space" ? message.replace(/^E(?:NOSPC|DQUOT): (.*)$/s, "$1: no space left on device") : message;
  return { kind, message: words, ...(typeof code === "string" ? { code } : {}) };
}

/** The error on the other side. */
export function fromPlain({ kind, message, code }: PlainError): LighterError {
  return Object.assign(new LighterError(kind, message), code === undefined ? {} : { code });
}

/** How many values may be under way to the other side before `send` waits. */
const WINDOW = 4;

/** How a port sends: the pool adds the job's number. */
export type PortPost = (
  message: { type: "value"; value: unknown } | { type: "taken" } | { type: "end" } | { type: "abort" },
  transfer: ArrayBuffer[],
) => void;

/** One end of the line between a job and the one who started it: values in order both ways, with back-pressure. */
export class JobPort {
  readonly #post: PortPost;
  readonly #inbox: unknown[] = [];
  #ended = false;
  #failure: unknown;
  #unread = 0;
  #wake: (() => void)[] = [];

  constructor(post: PortPost) {
    this.#post = post;
  }

  /** Hands a value over; resolves when the other side keeps up. Throws what `fail` was given. */
  async send(value: unknown, transfer: ArrayBuffer[] = []): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#unread++;
    this.#post({ type: "value", value }, transfer);
    while (this.#unread >= WINDOW) await this.#change();
  }

  /** Says that no more values come. */
  end(): void {
    this.#post({ type: "end" }, []);
  }

  /** The next value, or undefined after the last one. */
  async receive(): Promise<unknown> {
    while (this.#inbox.length === 0 && !this.#ended) await this.#change();
    if (this.#inbox.length === 0) return undefined;
    this.#post({ type: "taken" }, []);
    return this.#inbox.shift();
  }

  /** Cancels the job at the other end. */
  abort(): void {
    this.#post({ type: "abort" }, []);
  }

  /** Takes a message of the other side. */
  accept(message: Message): void {
    if (message.type === "value") this.#inbox.push(message.value);
    else if (message.type === "taken") this.#unread--;
    else if (message.type === "end") this.#ended = true;
    this.#notify();
  }

  /** Ends the line: whoever waits gets this error. */
  fail(error: unknown): void {
    this.#failure ??= error;
    this.#notify();
  }

  async #change(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    await new Promise<void>((resolve) => void this.#wake.push(resolve));
    if (this.#failure !== undefined) throw this.#failure;
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const call of wake) call();
  }
}

/** What a job gets in its Worker besides its arguments. */
export interface JobContext {
  port: JobPort;
  signal: AbortSignal;
}

/** Lets messages in (a cancel above all) between two pieces of synchronous work. Throws `cancelled`. */
export async function breathe(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => void setImmediate(resolve));
  throwIfAborted(signal);
}

/** Throws `cancelled` once the job was cancelled. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new LighterError("cancelled", "The operation was cancelled");
}
