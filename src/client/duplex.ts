import { LighterError, messageOf } from "../base/errors.ts";
import type { Endpoint } from "./endpoint.ts";

/** Takes bytes of a stream, which are its own until the promise that it returns resolves; that holds the stream back. */
export type Take = (bytes: Uint8Array) => void | Promise<void>;

/** A byte stream in both directions with back-pressure and half-close. */
export interface Duplex {
  /** Resolves when the bytes are with the kernel; the next write may follow. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends our direction; the other one stays open. */
  closeWrite(): void;
  /** Hands on every piece until the other side ends; rejects when the connection breaks. To be called once. */
  read(take: Take): Promise<void>;
  /** Drops the connection. */
  close(): void;
}

type Socket = Bun.Socket<undefined>;

/** A piece from which on there is much to read, and the most that is read at once then. */
const BULK_BYTES = 32 << 10;
const BUFFER_BYTES = 512 << 10;

/** Connects to a unix or TCP endpoint. Rejects with the system's error. */
export async function connectDuplex(endpoint: Exclude<Endpoint, { kind: "ssh" }>): Promise<Duplex> {
  const duplex = new SocketDuplex();
  await duplex.connect(endpoint);
  return duplex;
}

class SocketDuplex implements Duplex {
  #socket: Socket | undefined;
  #take: Take | undefined;
  #early: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  #holding: Promise<void> | undefined;
  /** Whether the descriptor has the bytes as they are: no TLS. */
  #bare = false;
  /** The last piece was so large that the next is read here, into one buffer for all. */
  #bulk = false;
  #buffer: Uint8Array | undefined;
  readonly #ended = Promise.withResolvers<void>();
  #over = false;

  async connect(endpoint: Exclude<Endpoint, { kind: "ssh" }>): Promise<void> {
    this.#ended.promise.catch(() => {});
    const socket = {
      // Buffers, which are the default, take 0.2 ms of a program's start.
      binaryType: "uint8array" as const,
      data: (_: Socket, bytes: Uint8Array) => this.#data(bytes),
      drain: () => this.#wake?.(),
      end: () => this.#end(),
      close: (_: Socket, error?: Error) => this.#end(error),
      error: (_: Socket, error: Error) => this.#end(error),
    };
    this.#bare = endpoint.kind === "unix" || endpoint.tls === undefined;
    if (endpoint.kind === "unix") {
      this.#socket = await Bun.connect({ unix: endpoint.path, socket, allowHalfOpen: true });
      return;
    }
    const tls = endpoint.tls && {
      ...(endpoint.tls.ca !== undefined && { ca: endpoint.tls.ca }),
      ...(endpoint.tls.cert !== undefined && { cert: endpoint.tls.cert }),
      ...(endpoint.tls.key !== undefined && { key: endpoint.tls.key }),
      rejectUnauthorized: endpoint.tls.verify,
    };
    const hostname = endpoint.host.replace(/^\[|\]$/g, "");
    this.#socket = await Bun.connect({ hostname, port: endpoint.port, socket, allowHalfOpen: true, ...(tls && { tls }) });
  }

  async write(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#over) throw new LighterError("unavailable", "write: broken pipe");
      const taken = this.#socket?.write(at === 0 ? bytes : bytes.subarray(at)) ?? -1;
      if (taken < 0) throw new LighterError("unavailable", "write: broken pipe");
      at += taken;
      if (at < bytes.length) await this.#writable();
    }
  }

  #writable(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    return promise;
  }

  closeWrite(): void {
    this.#socket?.shutdown();
  }

  async read(take: Take): Promise<void> {
    const early = this.#early;
    this.#early = [];
    // What arrives while the early pieces are taken must queue behind them.
    this.#socket?.pause();
    for (const piece of early) await take(piece);
    for (const piece of this.#early.splice(0)) await take(piece);
    this.#take = take;
    this.#socket?.resume();
    await this.#ended.promise;
    await this.#holding;
  }

  close(): void {
    this.#socket?.end();
    this.#socket?.terminate();
    this.#end();
  }

  #data(bytes: Uint8Array): void {
    if (this.#take === undefined) {
      this.#early.push(bytes);
      return;
    }
    this.#bulk = this.#bare && bytes.length >= BULK_BYTES;
    // Pieces that were on their way before a pause took hold queue behind the one that is being taken.
    const took = this.#holding === undefined ? this.#take(bytes) : this.#holding.then(() => this.#take?.(bytes));
    if (took === undefined) return;
    this.#socket?.pause();
    this.#holding = took;
    void took.then(
      () => this.#release(took),
      (error: unknown) => this.#end(error instanceof Error ? error : new LighterError("internal", messageOf(error))),
    );
  }

  #release(held: Promise<void>): void {
    if (this.#holding !== held) return;
    this.#holding = undefined;
    if (!this.#bulk || !this.#readAhead()) this.#socket?.resume();
  }

  /** Takes what has come meanwhile, without a new piece of memory for it. False when that is nothing, or the end, which the socket is to tell. */
  #readAhead(): boolean {
    const fd = (this.#socket as { fd?: number } | undefined)?.fd;
    if (fd === undefined || this.#over) return false;
    this.#buffer ??= new Uint8Array(BUFFER_BYTES);
    let count = 0;
    try {
      count = (require("node:fs") as typeof import("node:fs")).readSync(fd, this.#buffer, 0, BUFFER_BYTES, null);
    } catch {
      // Nothing is there now; what is wrong otherwise, the socket finds out.
    }
    if (count > 0) this.#data(this.#buffer.subarray(0, count));
    return this.#holding !== undefined;
  }

  #end(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#wake?.();
    if (error) this.#ended.reject(error);
    else this.#ended.resolve();
  }
}
