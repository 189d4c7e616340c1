/**
 * What the poller on the main thread tells its Worker of sources that are relayed: a table in shared memory, as the Worker never hears messages. Each slot is
 * held by one side at a time; the main thread waits for its turn, which is one batch away.
 */

/** Output that is passed on past the main thread: to whom and how. */
export interface RelayTarget {
  /** A stream socket; nobody where it is undefined: output is counted and dropped. */
  fd: number | undefined;
  /** With a header of Docker's before the pieces of each stream; else as they are. */
  framed: boolean;
  /** Conmon's numbers of the streams that are wanted; the others are dropped. */
  streams: readonly number[];
}

const SLOTS = 256;
const STATE = 0;
const TOKEN = 1;
const FD = 2;
const FLAGS = 3;
const INTS = 4;

const IDLE = 0;
const WORKER = 1;
const MAIN = 2;

const FRAMED = 1 << 31;
/** A target that takes nothing. */
export const NOBODY = -1;

/** How long is waited at a time for the Worker to leave a slot, in milliseconds. */
const WAIT = 50;
/** A Worker that does not come back for so many times is gone. */
const WAITS = 100;

/** The memory of a table. */
export function relayMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOTS * INTS * 4);
}

/** One side's view of the table. */
export class RelaySlots {
  readonly #ints: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#ints = new Int32Array(memory);
  }

  /** Main thread: from now on, the source of this token is relayed once it is armed so. False when all slots are taken. */
  open(token: number, { fd, framed, streams }: RelayTarget): boolean {
    const at = this.#find(0);
    if (at < 0) return false;
    this.#ints[at + FD] = fd ?? NOBODY;
    this.#ints[at + FLAGS] = streams.reduce((flags, stream) => flags | (1 << stream), framed ? FRAMED : 0);
    Atomics.store(this.#ints, at + TOKEN, token);
    return true;
  }

  /** Main thread: when this returns, nothing is written to the target any more. */
  close(token: number): void {
    const at = this.#find(token);
    if (at < 0) return;
    for (let waits = 0; waits < WAITS && Atomics.compareExchange(this.#ints, at + STATE, IDLE, MAIN) === WORKER; waits++)
      Atomics.wait(this.#ints, at + STATE, WORKER, WAIT);
    Atomics.store(this.#ints, at + TOKEN, 0);
    Atomics.store(this.#ints, at + STATE, IDLE);
  }

  /** Worker: relays a source while nobody ends that. False when it is no longer to be relayed. */
  use(token: number, relay: (target: number, framed: boolean, wants: (stream: number) => boolean) => void): boolean {
    const at = this.#find(token);
    if (at < 0 || Atomics.compareExchange(this.#ints, at + STATE, IDLE, WORKER) !== IDLE) return false;
    try {
      if (Atomics.load(this.#ints, at + TOKEN) !== token) return false;
      const flags = this.#ints[at + FLAGS] ?? 0;
      relay(this.#ints[at + FD] ?? -1, (flags & FRAMED) !== 0, (stream) => (flags & (1 << stream)) !== 0);
      return true;
    } finally {
      Atomics.store(this.#ints, at + STATE, IDLE);
      Atomics.notify(this.#ints, at + STATE);
    }
  }

  #find(token: number): number {
    for (let at = 0; at < SLOTS * INTS; at += INTS) if (Atomics.load(this.#ints, at + TOKEN) === token) return at;
    return -1;
  }
}
