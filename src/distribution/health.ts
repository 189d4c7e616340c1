/** How long a mirror is left out after its first failure, in milliseconds; each further one in a row doubles it. */
const FIRST_REST = 30_000;
const LONGEST_REST = 600_000;

interface Failure {
  reason: string;
  until: number;
  inARow: number;
}

/** Remembers which mirrors failed lately, so that no pull waits for a dead one again and again. By their URL. */
export class Health {
  readonly #failures = new Map<string, Failure>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Why a mirror is left out just now, and until when; undefined: it is to be asked. */
  failure(url: string): { reason: string; until: number } | undefined {
    const failure = this.#failures.get(url);
    return failure !== undefined && failure.until > this.#now() ? { reason: failure.reason, until: failure.until } : undefined;
  }

  /** A failure of a mirror; several of the same moment count as one. */
  failed(url: string, reason: string): void {
    if (this.failure(url) !== undefined) return;
    const inARow = (this.#failures.get(url)?.inARow ?? 0) + 1;
    const rest = Math.min(FIRST_REST * 2 ** (inARow - 1), LONGEST_REST);
    this.#failures.set(url, { reason, until: this.#now() + rest, inARow });
  }

  /** An answer that was good: what was before is forgotten. */
  succeeded(url: string): void {
    if (this.failure(url) === undefined) this.#failures.delete(url);
  }

  /** Forgets all: the configuration has changed. */
  clear(): void {
    this.#failures.clear();
  }
}
