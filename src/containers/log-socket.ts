import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { LighterError } from "../base/errors.ts";
import type { LogAddress } from "./log-address.ts";

/** Nobody answers a connection within this time. */
const CONNECT_MILLISECONDS = 10_000;

/** A stream to a receiver that is connected when something is to be sent, and again after it broke. */
export class LogSocket {
  readonly #address: LogAddress;
  readonly #tls: ConnectionOptions;
  /** Takes what the receiver answers. */
  onData: (bytes: Uint8Array) => void = () => undefined;
  #socket: Promise<Socket> | undefined;
  #fail: ((error: Error) => void) | undefined;

  constructor(address: LogAddress, tls: ConnectionOptions = {}) {
    this.#address = address;
    this.#tls = tls;
  }

  /** Resolves when the kernel has the bytes; rejects, and forgets the connection, when it broke. */
  async write(bytes: Uint8Array): Promise<void> {
    const socket = await (this.#socket ??= this.#connect());
    await this.#whileOpen((done) => void socket.write(bytes, (error) => done(error ?? undefined)));
  }

  /** Waits for something that the receiver's answers bring, as long as the connection stands. */
  async whileOpen(work: Promise<void>): Promise<void> {
    await this.#whileOpen((done) => void work.then(() => done(), done));
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    void socket?.then((open) => open.destroy()).catch(() => undefined);
  }

  #whileOpen(work: (done: (error?: Error) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: Error): void => {
        this.#fail = undefined;
        if (error === undefined) return resolve();
        this.close();
        reject(error);
      };
      if (this.#socket === undefined) return done(broken());
      this.#fail = done;
      work(done);
    });
  }

  #connect(): Promise<Socket> {
    const { promise: opening, resolve, reject } = Promise.withResolvers<Socket>();
    const { protocol, host, port, path } = this.#address;
    const socket =
      protocol === "tls"
        ? connectTls({ host, port, ...this.#tls }, () => resolve(socket))
        : connectPlain(protocol === "unix" ? { path } : { host, port }, () => resolve(socket));
    const timer = setTimeout(() => socket.destroy(new Error("no answer")), CONNECT_MILLISECONDS);
    const over = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
      if (this.#socket !== opening) return;
      this.#socket = undefined;
      this.#fail?.(error);
    };
    void opening.then(() => clearTimeout(timer)).catch(() => undefined);
    socket.on("data", (bytes: Uint8Array) => this.onData(bytes));
    socket.on("error", over);
    // A receiver that ends its side takes nothing any more.
    socket.on("end", () => socket.destroy());
    socket.on("close", () => over(broken()));
    return opening;
  }
}

function broken(): Error {
  return new LighterError("unavailable", "the connection was closed");
}
