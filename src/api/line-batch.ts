import { FRAME_HEADER } from "../wire/stdcopy.ts";
import type { StreamId } from "../wire/stream.ts";
import type { Out } from "./output-sink.ts";

const SIZE = 1 << 16;

/**
 * Gathers many short pieces of output into few writes: a log of a million lines is a million pieces. What is gathered leaves when the buffer is full,
 * and at the latest at the end of the event loop's turn.
 */
export class LineBatch {
  readonly #out: Out;
  readonly #header: number;
  readonly #buffer = Buffer.allocUnsafeSlow(SIZE);
  #fill = 0;
  #armed = false;
  #room = true;

  /** @param framed with Docker's stream headers */
  constructor(out: Out, { framed }: { framed: boolean }) {
    this.#out = out;
    this.#header = framed ? FRAME_HEADER : 0;
  }

  /** Takes one piece with an ASCII text before it. False when the client is behind: hold until `drained`. */
  add(stream: StreamId, prefix: string, data: Uint8Array): boolean {
    const length = prefix.length + data.length;
    if (this.#header + length > SIZE - this.#fill) this.flush();
    if (this.#header + length > SIZE) return this.#addLarge(stream, prefix, data);
    this.#putHeader(stream, length);
    if (prefix !== "") this.#fill += this.#buffer.write(prefix, this.#fill, "latin1");
    this.#buffer.set(data, this.#fill);
    this.#fill += data.length;
    if (!this.#armed) {
      this.#armed = true;
      setImmediate(() => {
        this.#armed = false;
        this.flush();
      });
    }
    return this.#room;
  }

  async drained(): Promise<void> {
    await this.#out.drained();
    this.#room = true;
  }

  /** Sends what is gathered. */
  flush(): void {
    if (this.#fill === 0) return;
    this.#room = this.#out.write(Uint8Array.prototype.slice.call(this.#buffer, 0, this.#fill));
    this.#fill = 0;
  }

  #addLarge(stream: StreamId, prefix: string, data: Uint8Array): boolean {
    this.#putHeader(stream, prefix.length + data.length);
    if (prefix !== "") this.#fill += this.#buffer.write(prefix, this.#fill, "latin1");
    this.flush();
    this.#room = this.#out.write(data);
    return this.#room;
  }

  #putHeader(stream: StreamId, length: number): void {
    if (this.#header === 0) return;
    this.#buffer.writeUInt32BE(stream * 0x1000000, this.#fill);
    this.#buffer.writeUInt32BE(length, this.#fill + 4);
    this.#fill += FRAME_HEADER;
  }
}
