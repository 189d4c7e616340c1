import type { ByteStream } from "../transport/byte-stream.ts";
import { frameHeader } from "../wire/stdcopy.ts";
import type { LentOutput, OutputSink, StreamId } from "../wire/stream.ts";

/** How output is told to clients. https://docs.docker.com/reference/api/engine/ "Stream format" */
export const RAW_STREAM = "application/vnd.docker.raw-stream";
/** Frames with a header each. */
export const MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream";

/** The content type of a process's output: clients before 1.42 know one name for both forms. */
export function streamType(version: number, terminal: boolean): string {
  return terminal || version < 42 ? RAW_STREAM : MULTIPLEXED_STREAM;
}

/** What a sink writes to: a hijacked connection or an answer's body. */
export type Out = Pick<ByteStream, "write" | "drained" | "lend">;

/**
 * Writes a process's output to a client, raw for a terminal and framed otherwise, without copying it. Pieces that come before `bind` wait.
 */
export class ClientSink implements OutputSink {
  /** False while something else may be written to the same connection (see {@link OutputSink.lend}). */
  lendable = true;
  readonly #framed: boolean;
  readonly #done = Promise.withResolvers<void>();
  #out: Out | undefined;
  #early: Uint8Array[] = [];
  #full = false;
  #ready: PromiseWithResolvers<void> | undefined;

  constructor(options: { framed: boolean }) {
    this.#framed = options.framed;
  }

  /** Resolves after the last piece. */
  get ended(): Promise<void> {
    return this.#done.promise;
  }

  /** Says where the pieces go, and sends those that came already. */
  bind(out: Out): void {
    this.#out = out;
    for (const piece of this.#early) out.write(piece);
    this.#early = [];
    this.#full = false;
    this.#ready?.resolve();
  }

  lend(reclaim: () => void): LentOutput | undefined {
    const fd = this.lendable ? this.#out?.lend?.(reclaim) : undefined;
    return fd === undefined ? undefined : { fd, framed: this.#framed };
  }

  rest(bytes: Uint8Array): boolean {
    return this.#put(bytes);
  }

  write(stream: StreamId, data: Uint8Array): boolean {
    if (data.length === 0) return true;
    if (this.#framed) this.#put(frameHeader(stream, data.length));
    return this.#put(data);
  }

  async drained(): Promise<void> {
    if (this.#out === undefined && this.#full) await (this.#ready ??= Promise.withResolvers<void>()).promise;
    await this.#out?.drained();
  }

  end(): void {
    this.#done.resolve();
  }

  #put(piece: Uint8Array): boolean {
    if (this.#out !== undefined) return this.#out.write(piece);
    this.#early.push(piece);
    this.#full = this.#early.length > 64;
    return !this.#full;
  }
}
