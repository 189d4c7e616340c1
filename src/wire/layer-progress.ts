import { formatBytes } from "../base/units.ts";
import type { ProgressMessage, ProgressSink } from "./progress.ts";

/** At most ten messages a second for each layer: more would only slow the client's terminal. */
const INTERVAL_MS = 100;

/** Docker's bar in text, for clients that do not draw their own: fifty columns and two sizes. */
export function drawBar(current: number, total: number): string {
  const size = formatBytes(current).padStart(8);
  if (total <= 0 || current > total) return size;
  const filled = Math.min(50, Math.floor(Math.trunc((current / total) * 100) / 2));
  return `[${"=".repeat(filled)}>${" ".repeat(50 - filled)}] ${size}/${formatBytes(total)}`;
}

/** The messages of one layer (or blob): states go out at once, byte counts at most ten times a second, and never after a later state. */
export class LayerProgress {
  readonly #id: string;
  readonly #sink: ProgressSink;
  #last = 0;
  #action = "";

  constructor(id: string, sink: ProgressSink) {
    this.#id = id;
    this.#sink = sink;
  }

  /** A state without numbers: `Pulling fs layer`, `Download complete`. */
  state(status: string): void {
    this.#action = status;
    this.#sink({ status, progressDetail: {}, id: this.#id });
  }

  /** How far an action has come, in bytes; the first and the last message of an action always go out. */
  bytes(status: string, current: number, total: number): void {
    const time = performance.now();
    if (this.#action === status && current < total && time - this.#last < INTERVAL_MS) return;
    this.#action = status;
    this.#last = time;
    const message: ProgressMessage = { status, progressDetail: { current, total }, progress: drawBar(current, total), id: this.#id };
    this.#sink(message);
  }
}
