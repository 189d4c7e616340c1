import { refuse } from "./answers.ts";

/** Names that are kept in mind: when there are more, those that are full again are forgotten. */
const MOST = 10_000;

/** Counts requests by name: each has so many at once, and gets them back evenly over so many seconds. */
export class RateLimit {
  readonly #requests: number;
  readonly #perMs: number;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor({ requests, seconds }: { requests: number; seconds: number }) {
    this.#requests = requests;
    this.#perMs = requests / (seconds * 1000);
  }

  /** Takes one request of a name; when there is none left, the refusal that says when there will be. */
  take(name: string, now = performance.now()): Response | undefined {
    if (this.#buckets.size > MOST) this.#forget(now);
    const left = this.#leftOf(name, now);
    if (left < 1) {
      this.#buckets.set(name, { left, at: now });
      const wait = Math.max(1, Math.ceil((1 - left) / this.#perMs / 1000));
      return refuse("TOOMANYREQUESTS", `try again in ${wait} s`, { "retry-after": String(wait) });
    }
    this.#buckets.set(name, { left: left - 1, at: now });
    return undefined;
  }

  #leftOf(name: string, now: number): number {
    const bucket = this.#buckets.get(name);
    return bucket === undefined ? this.#requests : Math.min(this.#requests, bucket.left + (now - bucket.at) * this.#perMs);
  }

  #forget(now: number): void {
    for (const name of this.#buckets.keys()) if (this.#leftOf(name, now) >= this.#requests) this.#buckets.delete(name);
    if (this.#buckets.size > MOST) this.#buckets.clear();
  }
}
