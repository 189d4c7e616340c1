import type { OutputSink } from "../wire/stream.ts";

/** Bytes of a check's output that are kept. */
const LIMIT = 4096;

/** Keeps the beginning of a check's output, both streams as they come; the rest is dropped as fast as it is written. */
export class HealthOutput implements OutputSink {
  #bytes: Uint8Array[] = [];
  #length = 0;
  #cut = false;

  write(_stream: 1 | 2, data: Uint8Array): boolean {
    const room = LIMIT - this.#length;
    if (data.length > room) this.#cut = true;
    if (room > 0) {
      const taken = data.slice(0, room);
      this.#bytes.push(taken);
      this.#length += taken.length;
    }
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  end(): void {}

  /** As inspect shows it: three dots stand for what was dropped. */
  get text(): string {
    const text = Buffer.concat(this.#bytes).toString();
    return this.#cut ? `${text}...` : text;
  }
}
