/** Checks that are due within this many milliseconds are begun together: the timer rests that long between two rounds. */
const GRAIN = 10;
/** Longest time that a timer takes. */
const LONGEST = 2 ** 31 - 1;

/** One timer for the next checks of all containers. */
export class HealthClock {
  readonly #due = new Map<string, number>();
  readonly #ring: (id: string) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #set = Infinity;

  /** @param ring called once for each container whose time has come; it then has to be set anew */
  constructor(ring: (id: string) => void) {
    this.#ring = ring;
  }

  /** Sets when a container is next, in milliseconds from now. */
  set(id: string, delay: number): void {
    const at = performance.now() + Math.max(0, delay);
    this.#due.set(id, at);
    if (at < this.#set) this.#arm(at);
  }

  /** A container that is not to be checked any more. */
  clear(id: string): void {
    this.#due.delete(id);
  }

  close(): void {
    this.#due.clear();
    clearTimeout(this.#timer);
    this.#set = -Infinity;
  }

  #arm(at: number): void {
    clearTimeout(this.#timer);
    this.#set = at;
    this.#timer = setTimeout(() => this.#round(), Math.min(LONGEST, Math.max(GRAIN, at - performance.now())));
  }

  #round(): void {
    this.#set = Infinity;
    const now = performance.now();
    const ready = [...this.#due].filter(([, at]) => at <= now);
    for (const [id] of ready) this.#due.delete(id);
    for (const [id] of ready) this.#ring(id);
    const next = Math.min(Infinity, ...this.#due.values());
    if (next < this.#set) this.#arm(next);
  }
}
