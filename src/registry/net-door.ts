import { kindOf, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { listenTcp, type RegistryListener, type Serve, type TlsMaterial } from "./listen.ts";

/** Milliseconds between two attempts at an address that something else has. */
const RETRY = 5_000;
/** Requests that are under way with the old certificate have so long to end, in milliseconds. */
const OLD_GRACE = 600_000;

/** How a door is opened. */
export interface DoorOptions {
  address: string;
  serve: Serve;
  tls: TlsMaterial | undefined;
  plain: boolean;
  /** An address that something else has is waited for, which the log tells. */
  patient?: boolean;
  /** Milliseconds, in place of the usual ones. */
  retry?: number;
}

/** One address of the network on which the registry listens. */
export class NetDoor implements RegistryListener {
  readonly #options: DoorOptions;
  #address: string;
  #tls: TlsMaterial | undefined;
  #listener: RegistryListener | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #old = new Set<Promise<void>>();
  readonly #kept: Disposable[] = [];
  #open = true;

  /** Throws `invalid`, and `conflict` when the address is in use and that is not to be waited for. */
  constructor(options: DoorOptions) {
    this.#options = options;
    this.#address = options.address;
    this.#tls = options.tls;
    try {
      this.#listen();
    } catch (error) {
      if (options.patient !== true || kindOf(error) !== "conflict") throw error;
      logOf("registry").error("{why}; it is tried again until it is free", { why: messageOf(error) });
      this.#again();
    }
  }

  get address(): string {
    const scheme = this.#tls === undefined ? "http" : "https";
    return this.#listener?.address ?? `${scheme}://${this.#address}`;
  }

  /** Ends something with the door. */
  keep(other: Disposable): void {
    this.#kept.push(other);
  }

  /** Shows another certificate from now on; requests that are under way end as they began. */
  renew(tls: TlsMaterial): void {
    this.#tls = tls;
    const old = this.#listener;
    if (old === undefined || !this.#open) return;
    // The port that was found, where any was asked for.
    this.#address = this.#address.replace(/:0$/, `:${new URL(old.address).port}`);
    this.#listener = undefined;
    const ended: Promise<void> = old.stop(OLD_GRACE).finally(() => this.#old.delete(ended));
    this.#old.add(ended);
    try {
      this.#listen();
    } catch (error) {
      logOf("registry").error("{why}; it is tried again until it is free", { why: messageOf(error) });
      this.#again();
    }
  }

  async stop(grace: number): Promise<void> {
    this.#open = false;
    clearTimeout(this.#timer);
    for (const other of this.#kept) other[Symbol.dispose]();
    await this.#listener?.stop(grace);
    await Promise.race([Promise.all(this.#old), Bun.sleep(grace)]);
  }

  #listen(): void {
    const { serve, plain } = this.#options;
    this.#listener = listenTcp(this.#address, serve, { tls: this.#tls, plain });
  }

  #again(): void {
    this.#timer = setTimeout(() => {
      try {
        this.#listen();
        logOf("registry").info("listens on {address} now", { address: this.address });
      } catch {
        this.#again();
      }
    }, this.#options.retry ?? RETRY).unref();
  }
}
