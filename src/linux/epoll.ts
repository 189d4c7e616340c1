import {
  DATA_AT,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLOUT,
  EVENT_SIZE,
  KIND,
  type PollEvent,
  type PollGreeting,
  type SourceKind,
} from "./epoll-protocol.ts";
import { closeFd, duplicate } from "./fd.ts";
import { LastingWorker } from "./lasting-worker.ts";
import { ERRNO, check, errno, libc, systemError } from "./libc.ts";
import { NOBODY, relayMemory, RelaySlots, type RelayTarget } from "./relay-slots.ts";
import { widenSocket } from "./send-buffer.ts";

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLL_CLOEXEC = 0o2000000;
const EFD_CLOEXEC = 0o2000000;
const MAX_TOKEN = 0xffffff;
/** What the kernel holds of output that is written past the main thread: fewer waits for a client that is as fast. */
const TARGET_BYTES = 1 << 20;

/** Takes the events of one source. After it returns, the source is armed again unless it was closed, held or has ended. */
export type SourceHandler = (event: PollEvent) => void;

/** A descriptor under watch. The descriptor stays the caller's: close the source first, then the descriptor. */
export interface Source {
  /** No more reading until `release`. Called from the handler, it keeps the next batch from being read. */
  hold(): void;
  release(): void;
  /** From now on, a source of kind `packets` is read one packet at a time, or again many; what was read already comes. */
  single(wanted: boolean): void;
  /**
   * From now on, what a source of kind `packets` brings is written to a socket by the Worker, past the main thread: the handler gets events that say how much that was
   * (`passed`), and what the socket did not take (`data`), which has to follow before anything else. With undefined, the handler gets the packets again; when that
   * returns, nothing more is written past. False where it cannot be had.
   */
  relay(target: RelayTarget | undefined): boolean;
  /** Resolves when the descriptor takes data again. */
  writable(): Promise<void>;
  /** Ends the watch. Events on their way are dropped. Safe to call twice. */
  close(): void;
}

/** One epoll set and the one Worker that waits on it. */
export interface Poller {
  /** Watches `fd`. Kinds are in `epoll-protocol.ts`; a `ready` source fires once per arming. */
  add(fd: number, kind: SourceKind, handler: SourceHandler): Source;
}

let shared: Poller | undefined;

/** The process's poller, started on first use. */
export function poller(): Poller {
  return (shared ??= startPoller());
}

function startPoller(): Poller {
  const epoll = check(libc().epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  const sources = new Map<number, PollSource>();
  const relays = relayMemory();
  const slots = new RelaySlots(relays);
  const worker = new LastingWorker({
    name: "epoll thread",
    start: () => new Worker(new URL("./epoll.worker.ts", import.meta.url)),
    greeting: (): PollGreeting => ({ epoll, relays }),
    message: (events: PollEvent[]) => {
      for (const event of events) sources.get(event.token)?.take(event);
    },
    lost: () => undefined,
    // What it had taken from the kernel and not told of is not armed any more.
    revived: () => {
      for (const source of sources.values()) source.rearm();
    },
  });
  worker.keepAlive(false);
  stopAtExit(epoll);
  let last = 0;
  return {
    add(fd, kind, handler) {
      do last = (last % MAX_TOKEN) + 1;
      while (sources.has(last));
      const token = last;
      const source = new PollSource({ epoll, slots }, fd, token, kind, handler, () => {
        sources.delete(token);
        if (sources.size === 0) worker.keepAlive(false);
      });
      if (sources.size === 0) worker.keepAlive(true);
      sources.set(token, source);
      return source;
    },
  };
}

/** A process that exits while a Worker sits in a system call would hang or crash in some versions of Bun: let the Worker leave its loop. */
function stopAtExit(epoll: number): void {
  const stop = check(libc().eventfd(0, EFD_CLOEXEC), "eventfd");
  control(epoll, EPOLL_CTL_ADD, stop, EPOLLIN, KIND.stop, 0);
  process.on("exit", () => {
    const one = new BigUint64Array([1n]);
    libc().write(stop, one, 8);
  });
}

/** Undefined where this process has as many descriptors as it may: what is thrown from a handler would leave its source, and others, unarmed for ever. */
function duplicateOrNot(fd: number): number | undefined {
  try {
    return duplicate(fd);
  } catch {
    return undefined;
  }
}

function control(epoll: number, operation: number, fd: number, events: number, kind: number, token: number): number {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, events, true);
  view.setInt32(DATA_AT, fd, true);
  view.setUint32(DATA_AT + 4, ((kind << 24) | token) >>> 0, true);
  return libc().epoll_ctl(epoll, operation, fd, new Uint8Array(view.buffer, 0, EVENT_SIZE));
}

class PollSource implements Source {
  #held = false;
  #closed = false;
  #ended = false;
  #armed = true;
  /** A descriptor of our own for the socket that is written to past the main thread. */
  #target = NOBODY;
  #wakeWriters: (() => void) | undefined;
  #writers: Promise<void> | undefined;

  constructor(
    readonly shared: { epoll: number; slots: RelaySlots },
    readonly fd: number,
    readonly token: number,
    public kind: SourceKind,
    readonly handler: SourceHandler,
    readonly onClose: () => void,
  ) {
    if (control(shared.epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, KIND[kind], token) < 0) throw systemError("epoll_ctl", errno());
  }

  take(event: PollEvent): void {
    this.#armed = false;
    if (event.events !== EPOLLIN || this.#ended) this.#wake();
    if (event.ended === true) this.#ended = true;
    if (this.kind === "ready") this.#held = true;
    if (event.data !== undefined || event.passed !== undefined || this.kind === "ready") this.handler(event);
    this.#arm();
  }

  hold(): void {
    this.#held = true;
    if (this.#armed) this.#arm(true);
  }

  single(wanted: boolean): void {
    this.kind = wanted ? "packet" : "packets";
  }

  relay(target: RelayTarget | undefined): boolean {
    if (this.kind === "relay") {
      this.shared.slots.close(this.token);
      closeFd(this.#target);
      this.#target = NOBODY;
      this.kind = "packets";
      if (this.#armed) this.#arm(true);
    }
    if (target === undefined || this.#closed || this.#ended || this.kind !== "packets") return false;
    const fd = target.fd === undefined ? NOBODY : duplicateOrNot(target.fd);
    if (fd === undefined) return false;
    if (!this.shared.slots.open(this.token, { ...target, fd })) {
      closeFd(fd);
      return false;
    }
    if (fd !== NOBODY) widenSocket(fd, TARGET_BYTES);
    this.#target = fd;
    this.kind = "relay";
    if (this.#armed) this.#arm(true);
    return true;
  }

  release(): void {
    this.#held = false;
    this.#arm();
  }

  /** Tells the kernel once more what is wanted: events of this source may have been lost. */
  rearm(): void {
    this.#arm(true);
  }

  writable(): Promise<void> {
    if (this.#closed || this.#ended) return Promise.resolve();
    this.#writers ??= new Promise((resolve) => (this.#wakeWriters = resolve));
    const waiting = this.#writers;
    this.#arm(true);
    return waiting;
  }

  close(): void {
    if (this.#closed) return;
    this.relay(undefined);
    this.#closed = true;
    control(this.shared.epoll, EPOLL_CTL_DEL, this.fd, 0, 0, 0);
    this.#wake();
    this.onClose();
  }

  #wake(): void {
    this.#wakeWriters?.();
    this.#wakeWriters = undefined;
    this.#writers = undefined;
  }

  /** Tells the kernel what is wanted now; a source that is held and has no writers sleeps. */
  #arm(again = false): void {
    if (this.#closed || (this.#armed && !again)) return;
    const wanted = (this.#held || this.#ended ? 0 : EPOLLIN) | (this.#writers ? EPOLLOUT : 0);
    // A held source is tagged `ready`, so that a hang-up does not make the Worker read it.
    const kind = (wanted & EPOLLIN) === 0 ? KIND.ready : KIND[this.kind];
    if (wanted === 0 && !this.#armed) return;
    const result = control(this.shared.epoll, EPOLL_CTL_MOD, this.fd, wanted | EPOLLONESHOT, kind, this.token);
    if (result < 0 && errno() !== ERRNO.ENOENT && errno() !== ERRNO.EBADF) throw systemError("epoll_ctl", errno());
    this.#armed = wanted !== 0;
  }
}
