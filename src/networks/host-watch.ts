import { messageOf } from "../base/errors.ts";
import { type Poller, poller } from "../linux/epoll.ts";
import { libc } from "../linux/libc.ts";
import { legacyTables } from "../linux/xtables-legacy.ts";
import { type Context, rewriteTable } from "./context.ts";
import { refreshEgress } from "./egress.ts";
import { foreignDropWarning } from "./foreign.ts";

/** Changes come in bursts: this long, in ms, nothing may come before the host's rules are read. */
const QUIET = 60;
/** At most so long, in ms, is waited for quiet. */
const PATIENCE = 400;
/** So long, in ms, nothing may come before rules of ours go into chains of others. */
const FOREIGN_QUIET = 400;
/** Between two looks at rules of which the kernel does not tell, in ms. */
const POLL = 1000;
/** Every so many looks at those, all rules are compared by the number of their last change, for notices that got lost. */
const SELDOM = 5;
/** So many times as long as a look took is waited before the next that no notice asks for. */
const REST = 4;
/** Rewrites of our own table within 10 s that are more than a reload of a firewall: somebody fights with us. */
const FIGHT = 8;

/** Follows the host's rules from `restore` on: copies them again where they change, and puts our own table back where somebody removed it. */
export class HostWatch implements AsyncDisposable {
  readonly #context: Context;
  #source: ReturnType<Poller["add"]> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #foreign: ReturnType<typeof setTimeout> | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;
  #listener = -1;
  #looking: Promise<void> | undefined;
  #isLooking = false;
  /** Something came while it was looked. */
  #isOwed = false;
  /** Until then nobody looks without a notice, so that sets with very many elements leave the network thread to others. */
  #rest = 0;
  #since = 0;
  #polled = false;
  #putsBack = false;
  #failure = "";
  #turn = 0;
  #legacy = "";
  #rewrites: number[] = [];
  #warned = new Set<string>();
  #closed = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Begins; a second call does nothing. */
  async start(): Promise<void> {
    if (this.#source !== undefined || this.#closed) return;
    const fd = await this.#context.kernel.do("listenToRules", undefined);
    this.#listener = fd;
    this.#legacy = legacyState();
    this.#source = poller().add(fd, "ready", () => this.#noticed());
    this.#poll = setInterval(() => this.#lookAround(), POLL);
    this.#poll.unref();
    await this.#openForeign();
    this.#noticed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#poll);
    clearTimeout(this.#foreign);
    this.#source?.close();
    // The network Worker may be reading from it.
    await this.#looking;
    if (this.#listener >= 0) libc().close(this.#listener);
  }

  #noticed(): void {
    if (this.#closed) return;
    if (this.#isLooking) {
      this.#isOwed = true;
      return;
    }
    const now = performance.now();
    if (this.#timer === undefined) this.#since = now;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void (this.#looking = this.#look()), Math.min(QUIET, Math.max(0, this.#since + PATIENCE - now)));
  }

  #lookAround(): void {
    const legacy = legacyState();
    const isTurn = this.#turn++ % SELDOM === 0;
    const isDue = this.#polled && performance.now() >= this.#rest;
    if (legacy !== this.#legacy || legacy !== "" || isDue || this.#failure !== "" || isTurn) this.#noticed();
    this.#legacy = legacy;
  }

  /** One look at a time: on a busy machine, or with very many rules, one takes longer than until the next is due. */
  async #look(): Promise<void> {
    this.#timer = undefined;
    this.#isLooking = true;
    this.#isOwed = false;
    const { kernel, log, options } = this.#context;
    const begin = performance.now();
    try {
      const { ours, others, polled } = await kernel.do("lookAtRules", this.#listener);
      this.#polled = polled;
      this.#putsBack ||= ours;
      if (this.#putsBack && !this.#closed) await this.#putBack();
      this.#putsBack = false;
      this.#failure = "";
      if (others && !this.#closed) this.#openForeignLater();
    } catch (error) {
      const failure = messageOf(error);
      // It is tried again each second.
      if (!this.#closed && failure !== this.#failure)
        log.warn("cannot follow the host's firewall, table {table}: {error}", { table: options.table, error: failure });
      this.#failure = failure;
    }
    this.#isLooking = false;
    this.#rest = performance.now() + REST * (performance.now() - begin);
    if (this.#closed) return;
    this.#source?.release();
    if (this.#isOwed) this.#noticed();
  }

  /** A chain that somebody empties to remove it must not get rules of ours in between. */
  #openForeignLater(): void {
    clearTimeout(this.#foreign);
    this.#foreign = setTimeout(() => {
      this.#openForeign().catch((error: unknown) => {
        if (!this.#closed) this.#context.log.warn("cannot open forward chains of others: {error}", { error: messageOf(error) });
      });
    }, FOREIGN_QUIET);
  }

  /** Chains of others that drop what containers send and get; warned of once. */
  async #openForeign(): Promise<void> {
    const { kernel, log, options } = this.#context;
    const drops = await kernel.do("openForeign", options.table);
    const warnings = drops.map((drop) => foreignDropWarning(drop, options.bridgeName));
    for (const warning of warnings) if (!this.#warned.has(warning)) log.warn("{warning}", { warning });
    this.#warned = new Set(warnings);
  }

  async #putBack(): Promise<void> {
    const now = performance.now();
    this.#rewrites = [...this.#rewrites.filter((time) => time > now - 10_000), now];
    if (this.#rewrites.length > FIGHT) {
      this.#context.log.warn("table {table} is changed by another program again and again", { table: this.#context.options.table });
      await Bun.sleep(1000);
    }
    await refreshEgress(this.#context);
    await rewriteTable(this.#context);
  }
}

function legacyState(): string {
  return ([4, 6] as const).flatMap((family) => legacyTables(family)).join(" ");
}
