import { LighterError } from "../base/errors.ts";
import { ChunkedDecoder } from "./chunked.ts";
import type { Framing } from "./head.ts";

/** More than this waits unread: the sender is held back. */
const HIGH = 1 << 18;

/** A request's body: read whole, as a stream with back-pressure, or thrown away. Reading it answers `Expect: 100-continue`. */
export class RequestBody {
  /** Bytes as announced; undefined for chunks. */
  readonly length: number | undefined;
  readonly #decoder: ChunkedDecoder | undefined;
  readonly #onComplete: (rest: Uint8Array) => void;
  #left: number;
  #chunks: Uint8Array[] = [];
  #waiting = 0;
  #complete: boolean;
  #failure: Error | undefined;
  #discarding = false;
  #wake: (() => void) | undefined;
  #room: (() => void) | undefined;
  #beforeRead: (() => void) | undefined;

  /**
   * @param onComplete told once, with the bytes after the body
   * @param beforeRead told once, when somebody begins to read
   */
  constructor(framing: Framing, onComplete: (rest: Uint8Array) => void, beforeRead?: () => void) {
    this.length = framing.kind === "chunked" ? undefined : framing.kind === "length" ? framing.length : 0;
    this.#left = this.length ?? 0;
    this.#decoder = framing.kind === "chunked" ? new ChunkedDecoder() : undefined;
    this.#complete = framing.kind === "none";
    this.#onComplete = onComplete;
    this.#beforeRead = beforeRead;
  }

  /** Whether all of it has arrived. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Whether the client still waits for `100 Continue`, and may never send the body. */
  get unasked(): boolean {
    return this.#beforeRead !== undefined;
  }

  /** Takes the next bytes of the connection; the promise holds the sender back. */
  feed(bytes: Uint8Array): void | Promise<void> {
    let rest: Uint8Array | undefined;
    if (this.#decoder === undefined) {
      const mine = bytes.subarray(0, this.#left);
      this.#left -= mine.length;
      this.#store(mine);
      if (this.#left === 0) rest = bytes.subarray(mine.length);
    } else {
      try {
        rest = this.#decoder.push(bytes, (payload) => this.#store(payload));
      } catch (cause) {
        return this.fail(new LighterError("invalid", `malformed chunked encoding: ${(cause as Error).message}`, { cause }));
      }
    }
    if (rest !== undefined) {
      this.#complete = true;
      this.#wake?.();
      return this.#onComplete(rest);
    }
    this.#wake?.();
    if (this.#waiting <= HIGH) return undefined;
    return new Promise<void>((resolve) => (this.#room = resolve));
  }

  /** The connection was lost, or what came makes no sense: readers see this error. */
  fail(error: Error): void {
    if (this.#complete || this.#failure !== undefined) return;
    this.#failure = error;
    this.#wake?.();
    this.#room?.();
  }

  /** The next piece; undefined at the end. Throws when the client left in the middle. */
  async next(): Promise<Uint8Array | undefined> {
    this.#beforeRead?.();
    this.#beforeRead = undefined;
    while (this.#chunks.length === 0) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#complete) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const chunk = this.#chunks.shift() as Uint8Array;
    this.#waiting -= chunk.length;
    if (this.#waiting === 0) this.#room?.();
    return chunk;
  }

  /** All of it at once. Throws `invalid` past `limit` bytes. */
  async bytes(limit: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let size = 0;
    for (;;) {
      const piece = await this.next();
      if (piece === undefined) break;
      size += piece.length;
      if (size > limit) throw new LighterError("invalid", `the request's body is larger than ${limit} bytes`);
      pieces.push(piece);
    }
    return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces, size);
  }

  /** As a web stream that reads only what is asked of it. */
  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const piece = await this.next();
          if (piece === undefined) controller.close();
          else controller.enqueue(piece);
        },
        cancel: () => this.discard(),
      },
      { highWaterMark: 0 },
    );
  }

  /** Throws away what is here and what comes. */
  discard(): void {
    this.#discarding = true;
    this.#chunks = [];
    this.#waiting = 0;
    this.#room?.();
  }

  #store(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (this.#discarding) return;
    this.#chunks.push(bytes);
    this.#waiting += bytes.length;
  }
}
