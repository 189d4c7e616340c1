import { LighterError } from "../base/errors.ts";
import type { Task } from "../runtime/runtime.ts";
import type { Attachment, OutputSink } from "../wire/stream.ts";

/** Which of the three streams a client joins. */
export interface Streams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

/** A client that joined before the process was made: input waits, and everything passes through once {@link PendingAttachment.join} was called. */
export class PendingAttachment implements Attachment {
  readonly ended: Promise<void>;
  readonly #sink: OutputSink;
  readonly #streams: Streams;
  readonly #joined = Promise.withResolvers<Attachment | undefined>();
  readonly #end = Promise.withResolvers<void>();
  readonly #forget: (self: PendingAttachment) => void;
  #inner: Attachment | undefined;
  #inputClosed = false;
  #over = false;

  constructor(sink: OutputSink, streams: Streams, forget: (self: PendingAttachment) => void) {
    this.#sink = sink;
    this.#streams = streams;
    this.#forget = forget;
    this.ended = this.#end.promise;
  }

  /** Connects the client to the process that now exists. */
  join(task: Task): void {
    if (this.#over) return;
    this.#inner = task.attach(this.#sink, this.#streams);
    this.#joined.resolve(this.#inner);
    if (this.#inputClosed) this.#inner.closeInput();
    void this.#inner.ended.then(() => this.#finish());
  }

  /** There will be no process: the start failed, or the container is gone. */
  abandon(): void {
    if (this.#over || this.#inner !== undefined) return;
    this.#joined.resolve(undefined);
    this.#sink.end();
    this.#finish();
  }

  async write(data: Uint8Array): Promise<void> {
    const inner = this.#inner ?? (await this.#joined.promise);
    if (inner === undefined) throw new LighterError("conflict", "Cannot send input: the container's process is gone");
    await inner.write(data);
  }

  closeInput(): void {
    if (this.#inner !== undefined) this.#inner.closeInput();
    else this.#inputClosed = true;
  }

  detach(): void {
    if (this.#over) return;
    if (this.#inner !== undefined) return this.#inner.detach();
    this.#joined.resolve(undefined);
    this.#finish();
  }

  #finish(): void {
    this.#over = true;
    this.#forget(this);
    this.#end.resolve();
  }
}
