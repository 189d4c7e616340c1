import type { PortRule } from "./firewall.ts";

/** Ports of one table that open and close. */
export interface PortChange {
  table: string;
  add?: PortRule[];
  remove?: PortRule[];
}

interface Waiting {
  change: PortChange;
  done: (error?: unknown) => void;
}

/**
 * Merges the port changes that wait while the kernel is busy with one: of 64 containers that start at once most share a few batches, so that nobody queues at
 * the firewall. One that fails fails alone: then each is tried by itself.
 */
export class PortChanges {
  readonly #apply: (change: PortChange) => void;
  #waiting: Waiting[] = [];
  #added = new Set<string>();

  constructor(apply: (change: PortChange) => void) {
    this.#apply = apply;
  }

  /** Lets a change wait for {@link flush}, which tells by `done` how it went. The first one that waits is answered with true: a flush is to be planned. */
  add(change: PortChange, done: (error?: unknown) => void): boolean {
    const [first] = this.#waiting;
    // What was opened and is closed again must happen in this order, and a batch closes first.
    if (first !== undefined && (first.change.table !== change.table || (change.remove ?? []).some((port) => this.#added.has(keyOf(port)))))
      this.flush();
    this.#waiting.push({ change, done });
    for (const port of change.add ?? []) this.#added.add(keyOf(port));
    return this.#waiting.length === 1;
  }

  /** Applies what waits. */
  flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#added = new Set();
    const [first] = waiting;
    if (first === undefined) return;
    const merged = {
      table: first.change.table,
      add: waiting.flatMap(({ change }) => change.add ?? []),
      remove: waiting.flatMap(({ change }) => change.remove ?? []),
    };
    const error = this.#failure(merged);
    for (const one of waiting) one.done(error === undefined || waiting.length === 1 ? error : this.#failure(one.change));
  }

  #failure(change: PortChange): unknown {
    try {
      this.#apply(change);
      return undefined;
    } catch (error) {
      return error;
    }
  }
}

function keyOf({ protocol, hostAddress, hostPort }: PortRule): string {
  return `${protocol} ${hostAddress} ${hostPort}`;
}
