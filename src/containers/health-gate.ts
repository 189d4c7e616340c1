/** A start that takes longer than this many milliseconds lets the next one begin: the container is frozen, or its runtime hangs. */
const PATIENCE = 5_000;

/** Lets a few begin at a time, in the order in which they came, so that many checks that are due at once do not take the machine. */
export class HealthGate {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(width: number) {
    this.#free = width;
  }

  /** Resolves when it is one's turn; call what it gives once the costly part is over (or never: then it is over after a while). */
  async enter(): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    const timer = setTimeout(() => leave(), PATIENCE);
    const leave = (): void => {
      clearTimeout(timer);
      if (!left) this.#next();
      left = true;
    };
    let left = false;
    return leave;
  }

  #next(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
