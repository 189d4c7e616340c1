import type { OutputSink, StreamId } from "../wire/stream.ts";

/** What one client may leave untaken before the process has to wait for it, as Docker's buffer. */
export const CLIENT_BYTES = 1 << 20;
/** What is kept for a client once the process is gone: all that pipes and sockets can still hold, and no more. */
const LAST_BYTES = 16 << 20;

/** One client of a {@link Fanout}. */
interface Client {
  sink: OutputSink;
  streams: ReadonlySet<StreamId>;
  queue: { stream: StreamId; data: Uint8Array }[];
  queued: number;
  waiting: boolean;
  gone: boolean;
  end(): void;
}

/**
 * - `held`: nothing is lost; a client that is behind makes the process wait
 * - `last`: the process is gone: what still comes is kept for the clients, within a bound
 * - `drop`: somebody wants the process gone: what a client does not take is lost to it
 */
type Mode = "held" | "last" | "drop";

/** Spreads one process's output to any number of clients, each at its own pace. */
export class Fanout {
  readonly #clients = new Set<Client>();
  #mode: Mode = "held";
  #ended = false;
  /** Who gets the output past us, or got it last. */
  #direct: Client | undefined;
  /** Called when something changes by which output may not go past us any more. */
  onChange: () => void = () => undefined;
  /** Called when a client that had made the process wait is no longer behind. */
  onRelief: () => void = () => undefined;

  /** Joins a client; the returned function removes it without `end`, and `ended` resolves after either. */
  join(sink: OutputSink, streams: ReadonlySet<StreamId>): { leave(): void; ended: Promise<void> } {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.onChange();
    const client: Client = { sink, streams, queue: [], queued: 0, waiting: false, gone: false, end: resolve };
    this.#clients.add(client);
    if (this.#ended) this.#finish(client);
    return { leave: () => this.#leave(client), ended: promise };
  }

  get size(): number {
    return this.#clients.size;
  }

  /** Whether some client is so far behind that no more should be read. */
  get full(): boolean {
    if (this.#mode !== "held") return false;
    for (const client of this.#clients) if (client.waiting && client.queued >= (client.sink.room ?? CLIENT_BYTES)) return true;
    return false;
  }

  /**
   * Where output may be written past us: to the one client that sees it, or to nobody where none does, if none is behind. Its {@link passed} follows.
   */
  lend(reclaim: () => void): { fd: number | undefined; framed: boolean; streams: ReadonlySet<StreamId> } | undefined {
    let seer: Client | undefined;
    for (const client of this.#clients) {
      if (client.waiting) return undefined;
      if (client.sink.passed !== undefined) continue;
      if (seer !== undefined || client.sink.lend === undefined) return undefined;
      seer = client;
    }
    if (this.#mode !== "held" || this.#ended) return undefined;
    this.#direct = seer;
    if (seer === undefined) return { fd: undefined, framed: false, streams: new Set() };
    const lent = seer.sink.lend?.(reclaim);
    return lent && { ...lent, streams: seer.streams };
  }

  /** So many bytes went past us. False when it cannot go on so: a client is behind, or has not taken the rest, which is in its own form. */
  passed(bytes: number, rest: Uint8Array | undefined): boolean {
    let on = rest === undefined;
    const direct = this.#direct;
    if (rest !== undefined && direct?.gone === false) this.#took(direct, direct.sink.rest?.(rest) ?? true);
    for (const client of this.#clients) {
      if (client.sink.passed === undefined || client.sink.passed(bytes)) continue;
      if (!client.waiting) this.#took(client, false);
      on = false;
    }
    return on;
  }

  deliver(stream: StreamId, data: Uint8Array): void {
    for (const client of this.#clients) {
      if (!client.streams.has(stream)) continue;
      if (!client.waiting) this.#write(client, stream, data);
      else if (this.#mode === "held" || client.queued < (this.#mode === "last" ? LAST_BYTES : CLIENT_BYTES)) {
        client.queue.push({ stream, data });
        client.queued += data.length;
      }
    }
  }

  /** The process is gone, or shall be: no client holds anything up from now on. `drop` stays once set. */
  loosen(mode: "last" | "drop"): void {
    this.onChange();
    if (this.#mode !== "drop") this.#mode = mode;
    this.onRelief();
  }

  /** Nothing more comes. Each client's `end` follows its last piece. */
  end(): void {
    if (this.#ended) return;
    this.onChange();
    this.#ended = true;
    for (const client of this.#clients) if (!client.waiting) this.#finish(client);
  }

  #write(client: Client, stream: StreamId, data: Uint8Array): void {
    this.#took(client, client.sink.write(stream, data));
  }

  #took(client: Client, on: boolean): void {
    if (on) return;
    client.waiting = true;
    void client.sink.drained().then(
      () => this.#resume(client),
      () => this.#leave(client),
    );
  }

  #resume(client: Client): void {
    client.waiting = false;
    let taken = 0;
    for (const piece of client.queue) {
      if (client.waiting || client.gone) break;
      taken++;
      client.queued -= piece.data.length;
      this.#write(client, piece.stream, piece.data);
    }
    client.queue.splice(0, taken);
    if (this.#ended && !client.waiting && !client.gone) this.#finish(client);
    if (!this.full) this.onRelief();
  }

  #finish(client: Client): void {
    if (client.gone) return;
    client.gone = true;
    this.#clients.delete(client);
    client.sink.end();
    client.end();
  }

  #leave(client: Client): void {
    if (client.gone) return;
    this.onChange();
    client.gone = true;
    client.queue = [];
    this.#clients.delete(client);
    client.end();
    if (!this.full) this.onRelief();
  }
}
