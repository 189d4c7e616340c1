import type { ByteStream, Take } from "./byte-stream.ts";

/** What {@link Connection} needs of a socket of Bun's. */
export interface RawSocket {
  readonly fd?: number;
  /** How many bytes the kernel took; negative once the socket is closed. */
  write(data: Uint8Array): number;
  pause(): void;
  resume(): void;
  /** Ends the direction to the peer and leaves the other open (with `true`, Bun would end reading instead). */
  shutdown(): void;
  /** Closes in an orderly way, once nothing is left to send. */
  end(): void;
  /** Closes at once: TCP peers see a reset. */
  terminate(): void;
}

/** More than this is queued for the peer: `write` says false (the kernel's own buffer comes on top). */
const WRITE_HIGH = 1 << 20;
const WRITE_LOW = 1 << 18;
/** More than this came and nobody takes it: the socket is not read any more. */
const READ_HIGH = 1 << 18;
/** Pieces are joined up to about this size for one write. */
const JOIN = 1 << 18;
/** How long a peer may take for the rest after our end, in milliseconds. */
const LINGER = 10_000;

/** Connections that have sent in this turn of the event loop already, and send the rest when it ends. */
const later = new Set<() => void>();
let turn = 0;
let armed = false;

/** Makes sure that the end of this turn is noticed. */
function awaitTurn(): void {
  if (armed) return;
  armed = true;
  setImmediate(() => {
    armed = false;
    turn++;
    const flushes = [...later];
    later.clear();
    for (const flush of flushes) flush();
  });
}

/**
 * One accepted socket: a queue for writing with back-pressure, reading by a callback that can be changed in the middle of the stream
 * (head, body, hijacked stream), half-close, and the one moment at which it is gone.
 */
export class Connection implements ByteStream {
  readonly #socket: RawSocket;
  readonly #linger: number;
  readonly #closed = Promise.withResolvers<void>();
  #take: Take | undefined;
  #taking = false;
  #paused = false;
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #flushing = false;
  #flushTurn = -1;
  #blocked = false;
  #ending = false;
  #shut = false;
  #ended = false;
  #gone = false;
  #drained: PromiseWithResolvers<void> | undefined;
  readonly #bare: boolean;
  #reclaim: (() => void) | undefined;
  /** Called once when the peer has finished sending or is gone. */
  onInputEnd: ((how: "end" | "closed") => void) | undefined;
  /** Called once when the connection is gone. */
  onGone: (() => void) | undefined;

  /**
   * @param options.linger how long a peer may take for its own end after ours, in milliseconds
   * @param options.bare what is written to the descriptor reaches the peer as it is: no TLS
   */
  constructor(socket: RawSocket, { linger = LINGER, bare = false }: { linger?: number; bare?: boolean } = {}) {
    this.#socket = socket;
    this.#linger = linger;
    this.#bare = bare;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Whether the peer has said its last word, or is gone. */
  get inputEnded(): boolean {
    return this.#ended;
  }

  get gone(): boolean {
    return this.#gone;
  }

  get fd(): number | undefined {
    return this.#gone ? undefined : this.#socket.fd;
  }

  /** Changes who takes the input from the next byte on; undefined holds it. `unread` comes first again. */
  setTake(take: Take | undefined, unread?: Uint8Array): void {
    if (unread !== undefined && unread.length > 0) {
      this.#held.unshift(unread);
      this.#heldBytes += unread.length;
    }
    this.#take = take;
    this.#pump();
  }

  read(take: Take): Promise<"end" | "closed"> {
    const { promise, resolve } = Promise.withResolvers<"end" | "closed">();
    this.onInputEnd = resolve;
    this.setTake(take);
    return promise;
  }

  lend(reclaim: () => void): number | undefined {
    this.#takeBack();
    if (!this.#bare || this.#gone || this.#ending || this.#blocked) return undefined;
    if (this.#queued > 0) this.#flush();
    if (this.#queued > 0 || this.#gone) return undefined;
    this.#reclaim = reclaim;
    return this.#socket.fd;
  }

  #takeBack(): void {
    const reclaim = this.#reclaim;
    this.#reclaim = undefined;
    reclaim?.();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#reclaim !== undefined) this.#takeBack();
    if (this.#gone || this.#ending) return true;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    if (!this.#flushing && !this.#blocked) this.#schedule();
    return this.#queued < WRITE_HIGH;
  }

  drained(): Promise<void> {
    if (this.#gone || this.#queued < WRITE_LOW) return Promise.resolve();
    return (this.#drained ??= Promise.withResolvers<void>()).promise;
  }

  end(): void {
    if (this.#ending || this.#gone) return;
    this.#takeBack();
    this.#ending = true;
    // Input that nobody wants is read and dropped: closing over unread bytes would reset the connection and cost the peer our last ones.
    this.#held.length = 0;
    this.#heldBytes = 0;
    this.setTake(() => {});
    this.#flush();
  }

  destroy(): void {
    this.#takeBack();
    if (!this.#gone) this.#socket.terminate();
  }

  /** The socket has bytes for us. */
  received(bytes: Uint8Array): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    this.#pump();
  }

  /** The peer will send nothing more. */
  finished(): void {
    this.#ended = true;
    if (this.#shut) return this.#socket.end();
    this.#tellEnd("end");
  }

  /** The kernel has room again. */
  writable(): void {
    this.#blocked = false;
    this.#flush();
  }

  /** The socket is closed. */
  lost(): void {
    if (this.#gone) return;
    this.#takeBack();
    this.#gone = true;
    this.#ended = true;
    this.#queue = [];
    this.#queued = 0;
    this.#drained?.resolve();
    this.#tellEnd("closed");
    this.onGone?.();
    this.#closed.resolve();
  }

  /** The end is told after the last byte was taken; a peer that is gone altogether is told at once. */
  #tellEnd(how: "end" | "closed"): void {
    if (how === "end" && (this.#heldBytes > 0 || this.#taking)) return;
    const tell = this.onInputEnd;
    this.onInputEnd = undefined;
    tell?.(how);
  }

  #pump(): void {
    while (this.#take !== undefined && !this.#taking) {
      const bytes = this.#held.shift();
      if (bytes === undefined) break;
      this.#heldBytes -= bytes.length;
      const taken = this.#take(bytes);
      if (taken === undefined) continue;
      this.#taking = true;
      const next = (): void => {
        this.#taking = false;
        this.#pump();
      };
      taken.then(next, next);
    }
    this.#regulate();
    if (this.#ended && this.#heldBytes === 0 && !this.#taking) this.#tellEnd(this.#gone ? "closed" : "end");
  }

  #regulate(): void {
    if (this.#gone) return;
    if (!this.#paused && this.#heldBytes > READ_HIGH) {
      this.#paused = true;
      this.#socket.pause();
    } else if (this.#paused && this.#heldBytes === 0) {
      this.#paused = false;
      this.#socket.resume();
    }
  }

  /** The first bytes of a turn leave at once; a burst that follows in the same turn (lines of a log) is gathered. */
  #schedule(): void {
    if (this.#flushTurn !== turn) {
      this.#flushing = true;
      queueMicrotask(this.#flush);
    } else if (this.#queued >= JOIN) this.#flush();
    else later.add(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    this.#flushTurn = turn;
    awaitTurn();
    while (this.#queue.length > 0 && !this.#blocked && !this.#gone) {
      const bytes = this.#nextWrite();
      const wrote = this.#socket.write(bytes);
      if (wrote < 0) break;
      this.#queued -= wrote;
      if (wrote < bytes.length) {
        this.#queue.unshift(wrote === 0 ? bytes : bytes.subarray(wrote));
        this.#blocked = true;
      }
    }
    if (this.#drained !== undefined && this.#queued < WRITE_LOW) {
      this.#drained.resolve();
      this.#drained = undefined;
    }
    if (this.#ending && this.#queue.length === 0) this.#finish();
  };

  /** Takes small pieces off the queue as one: a copy is cheaper than a system call. */
  #nextWrite(): Uint8Array {
    const first = this.#queue[0] as Uint8Array;
    let count = 1;
    let size = first.length;
    while (count < this.#queue.length && size < JOIN) size += (this.#queue[count++] as Uint8Array).length;
    const pieces = this.#queue.splice(0, count);
    return count === 1 ? first : Buffer.concat(pieces, size);
  }

  #finish(): void {
    if (this.#shut || this.#gone) return;
    this.#shut = true;
    if (this.#ended) this.#socket.end();
    else this.#socket.shutdown();
    const timer = setTimeout(() => this.#leave(), this.#linger);
    timer.unref();
    void this.closed.then(() => clearTimeout(timer));
  }

  /** Without a reset: what the kernel has taken stays there for a peer that reads slowly. */
  #leave(): void {
    this.#socket.end();
    if (!this.#gone) setTimeout(() => this.destroy(), this.#linger).unref();
  }
}
