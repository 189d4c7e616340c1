import type { RegistryHost } from "./distribution.ts";

/** How long a mirror is left out after its first failure, in milliseconds; each further one in a row doubles it. */
const FIRST_REST = 30_000;
const LONGEST_REST = 600_000;

interface Failure {
  reason: string;
  until: number;
  inARow: number;
}

/** Under which name a mirror is remembered: one that stands for several registries may have trouble with one of them alone. */
export function healthKey({ url, namespace = "" }: Pick<RegistryHost, "url" | "namespace">): string {
  return `${url} ${namespace}`;
}

/** Remembers which mirrors failed lately, so that no pull waits for a dead one again and again. By {@link healthKey}. */
export class Health {
  readonly #failures = new Map<string, Failure>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Why a mirror is left out just now, and until when; undefined: it is to be asked. */
  failure(key: string): { reason: string; until: number } | undefined {
    const failure = this.#failures.get(key);
    return failure !== undefined && failure.until > this.#now() ? { reason: failure.reason, until: failure.until } : undefined;
  }

  /** A failure of a mirror; several of the same moment count as one. */
  failed(key: string, reason: string): void {
    if (this.failure(key) !== undefined) return;
    const inARow = (this.#failures.get(key)?.inARow ?? 0) + 1;
    const rest = Math.min(FIRST_REST * 2 ** (inARow - 1), LONGEST_REST);
    this.#failures.set(key, { reason, until: this.#now() + rest, inARow });
  }

  /** An answer that was good: what was before is forgotten. */
  succeeded(key: string): void {
    if (this.failure(key) === undefined) this.#failures.delete(key);
  }

  /** Forgets all: the configuration has changed. */
  clear(): void {
    this.#failures.clear();
  }
}
