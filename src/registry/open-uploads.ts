import { LighterError } from "../base/errors.ts";
import type { Ingest } from "../content/content.ts";
import type { Storage } from "./storage.ts";

/** An upload waits for its next request so long before its file is closed, in milliseconds: opened again, all of it must be hashed again. */
const IDLE_MS = 30_000;
/** So many wait at most: each holds a file. */
const IDLE_MOST = 64;

/** The uploads that are open: those that a request writes to, and those that wait for the next one. */
export class OpenUploads {
  readonly #busy = new Map<string, Ingest>();
  readonly #idle = new Map<string, { ingest: Ingest; timer: Timer }>();

  /** Opens an upload for one request, which gives it back or ends it. Throws `conflict` while another one has it. */
  async take(content: Storage, ref: string): Promise<Ingest> {
    if (this.#busy.has(ref)) throw new LighterError("conflict", `Cannot write "${ref}": another request is writing to it`);
    const waiting = this.#idle.get(ref);
    clearTimeout(waiting?.timer);
    this.#idle.delete(ref);
    const ingest = waiting?.ingest ?? (await content.ingest(ref));
    this.#busy.set(ref, ingest);
    return ingest;
  }

  /** Keeps an upload for its next request. */
  async giveBack(ref: string, ingest: Ingest): Promise<void> {
    this.#busy.delete(ref);
    const timer = setTimeout(() => void this.#suspend(ref).catch(() => {}), IDLE_MS);
    timer.unref();
    this.#idle.set(ref, { ingest, timer });
    const [oldest] = this.#idle.keys();
    if (this.#idle.size > IDLE_MOST && oldest !== undefined) await this.#suspend(oldest);
  }

  /** Forgets an upload that its request has committed, closed or given up. */
  ended(ref: string): void {
    this.#busy.delete(ref);
  }

  /** How far an open upload is, in bytes; undefined for one that is not open. */
  offset(ref: string): number | undefined {
    return (this.#busy.get(ref) ?? this.#idle.get(ref)?.ingest)?.offset;
  }

  /** Closes all that wait; they can be gone on with. */
  async close(): Promise<void> {
    await Promise.all([...this.#idle.keys()].map((ref) => this.#suspend(ref)));
  }

  async #suspend(ref: string): Promise<void> {
    const waiting = this.#idle.get(ref);
    clearTimeout(waiting?.timer);
    this.#idle.delete(ref);
    await waiting?.ingest.suspend();
  }
}
