import { now } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { State } from "../state/state.ts";

/** Uses are written together, so that a pull costs no write of its own. Milliseconds. */
const EVERY = 2_000;
/** How long before somebody's question after a blob is noted again, in milliseconds; a quarter of the grace time where that is shorter. */
const SEEN = 60_000;

/** When it was pulled, its repository, and its tag or digest. */
type Use = [bigint, string, string];

/** Notes when tags and manifests were pulled: retention and the cache's bound go by it. */
export class LastUse {
  readonly #state: State;
  readonly #seenAfter: bigint;
  #tags = new Map<string, Use>();
  #links = new Map<string, Use>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param grace milliseconds for which collections leave alone what somebody asked after */
  constructor(state: State, grace: number) {
    this.#state = state;
    this.#seenAfter = BigInt(Math.floor(Math.min(SEEN, grace / 4))) * 1_000_000n;
  }

  /** A manifest or a blob was pulled, by a tag if there is one. */
  pulled(repository: string, digest: string, tag: string | undefined): void {
    const time = now();
    this.#links.set(`${repository} ${digest}`, [time, repository, digest]);
    if (tag !== undefined) this.#tags.set(`${repository} ${tag}`, [time, repository, tag]);
    this.#timer ??= setTimeout(() => this.flush(), EVERY);
    this.#timer.unref();
  }

  /**
   * Somebody was told that this is here and may build on it: it stays for the grace time from now on. Written at once (a collection may be next),
   * but not for each question.
   */
  seen(repository: string, digest: string): void {
    const time = now();
    const row = this.#state.get<{ old: number }>(
      "SELECT MAX(created, seen) < ? AS old FROM registry_links WHERE repository = ? AND digest = ?",
      time - this.#seenAfter,
      repository,
      digest,
    );
    if (row?.old !== 1) return;
    const sql = "UPDATE registry_links SET seen = ? WHERE repository = ? AND digest = ?";
    this.#state.write((tx) => void tx.run(sql, time, repository, digest), { durable: false });
  }

  /** Writes what was noted. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const [tags, links] = [this.#tags, this.#links];
    if (tags.size + links.size === 0) return;
    this.#tags = new Map();
    this.#links = new Map();
    try {
      this.#state.write(
        (tx) => {
          for (const use of tags.values()) tx.run("UPDATE registry_tags SET pulled = ? WHERE repository = ? AND tag = ?", ...use);
          for (const use of links.values()) tx.run("UPDATE registry_links SET pulled = ? WHERE repository = ? AND digest = ?", ...use);
        },
        { durable: false },
      );
    } catch (error) {
      logOf("registry").warn("cannot note what was pulled: {why}", { why: messageOf(error) });
    }
  }
}
