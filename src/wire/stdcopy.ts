import { LighterError } from "../base/errors.ts";

/**
 * Docker's framing of stdout and stderr on one stream (attach, exec and logs without a TTY): 8 bytes of header
 * (stream, three zeros, length as big-endian uint32), then the bytes. https://docs.docker.com/reference/api/engine/ "Stream format"
 */
export const STREAM = { stdin: 0, stdout: 1, stderr: 2, system: 3 } as const;

/** The number in a frame's first byte; `system` carries an error text of the daemon. */
export type StreamId = (typeof STREAM)[keyof typeof STREAM];

/** Length of a frame's header in bytes. */
export const FRAME_HEADER = 8;

/** The header alone, for callers that write the payload without copying it. */
export function frameHeader(stream: StreamId, length: number): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER);
  header[0] = stream;
  new DataView(header.buffer).setUint32(4, length);
  return header;
}

/** One frame: header and payload in one array. */
export function encodeFrame(stream: StreamId, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER + payload.length);
  frame[0] = stream;
  new DataView(frame.buffer).setUint32(4, payload.length);
  frame.set(payload, FRAME_HEADER);
  return frame;
}

/**
 * Takes frames apart as bytes arrive, in pieces of any size. Payload is handed on at once, in views of the pieces
 * given (valid until the sink returns): nothing is gathered or copied, a frame may reach the sink in several parts.
 */
export class FrameDecoder {
  readonly #sink: (stream: StreamId, bytes: Uint8Array) => void;
  readonly #header = new Uint8Array(FRAME_HEADER);
  #have = 0;
  #left = 0;
  #stream: StreamId = STREAM.stdout;

  constructor(sink: (stream: StreamId, bytes: Uint8Array) => void) {
    this.#sink = sink;
  }

  /** Takes the next bytes. Throws `internal` when they are not frames. */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left === 0) at = this.#takeHeader(bytes, at);
      const length = Math.min(this.#left, bytes.length - at);
      if (length === 0) continue;
      this.#sink(this.#stream, bytes.subarray(at, at + length));
      this.#left -= length;
      at += length;
    }
  }

  /** Whether the stream stands between two frames: false at its end means that it was cut. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#have === 0;
  }

  #takeHeader(bytes: Uint8Array, at: number): number {
    const length = Math.min(FRAME_HEADER - this.#have, bytes.length - at);
    this.#header.set(bytes.subarray(at, at + length), this.#have);
    this.#have += length;
    if (this.#have < FRAME_HEADER) return at + length;
    const stream = this.#header[0] ?? 0;
    if (stream > STREAM.system) throw new LighterError("internal", `Unrecognized input header: ${stream}`);
    this.#stream = stream as StreamId;
    this.#left = new DataView(this.#header.buffer).getUint32(4);
    this.#have = 0;
    return at + length;
  }
}
