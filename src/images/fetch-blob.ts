import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { Ingest } from "../content/content.ts";
import type { Repository } from "../distribution/distribution.ts";
import { pause } from "../distribution/retry.ts";
import type { Descriptor } from "../oci/image.ts";
import { Pace, type Part, RangePlan, type Ranges, RANGES } from "./range-plan.ts";
import { readOrStall, WriteBehind } from "../distribution/read-body.ts";

/** Failures without a byte of progress in a row, where nothing else is said, and failures in all. */
const MOST_FRUITLESS = 5;
const MOST_FAILURES = 100;
/** Seconds to wait after so many failures in a row that brought nothing; the last one again and again. */
const WAITS = [0.1, 0.2, 1, 3, 5, 8];

/** Where a blob is fetched from, and who is told how far it is. */
export interface FetchOptions {
  /** The same repository at several addresses, best first. */
  repositories: readonly Repository[];
  signal: AbortSignal;
  /** Bytes that are here in all. */
  progress: (done: number) => void;
  /** Told each second how long it is until the next attempt. */
  retrying?: (seconds: number) => void;
  /** Told of each address that bytes come from. */
  from?: (repository: Repository) => void;
  /** Failures in a row that bring nothing, after which it is given up. */
  attempts?: number;
  /** When and how several ranges are fetched at once; false: never. */
  ranges?: Ranges | false;
}

/** What takes the bytes. */
export type Target = Pick<Ingest, "offset" | "received" | "place" | "holes" | "restart">;

/**
 * Brings what is missing of a blob into an ingest, by several ranges at once where that is worth it, and going on after each broken connection.
 * Throws `unavailable` once that leads nowhere, `invalid` for more bytes than the descriptor promises. The digest is the caller's to check.
 */
export async function fetchBlob(target: Target, blob: Descriptor, options: FetchOptions): Promise<void> {
  if (target.offset > blob.size) await target.restart();
  const fetch = new Fetch(target, blob, options);
  try {
    await fetch.run();
  } finally {
    await fetch.stopHelpers();
  }
}

class Fetch {
  readonly #target: Target;
  readonly #blob: Descriptor;
  readonly #options: FetchOptions;
  readonly #plan: RangePlan;
  readonly #pace = new Pace();
  readonly #helpers = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  readonly #helperSignal: AbortSignal;
  /** The last answer was a part, as it was asked for. */
  #served = false;
  #fruitless = 0;
  #failures = 0;
  #last: Repository | undefined;

  constructor(target: Target, blob: Descriptor, options: FetchOptions) {
    this.#target = target;
    this.#blob = blob;
    this.#options = options;
    this.#plan = new RangePlan(() => target.holes(blob.size));
    this.#helperSignal = AbortSignal.any([options.signal, this.#stop.signal]);
  }

  async run(): Promise<void> {
    const { ranges = RANGES } = this.#options;
    const splits = ranges !== false && this.#plan.left >= ranges.from;
    const first = this.#plan.take(splits ? ranges.first : Infinity);
    if (first === undefined) return;
    const began = performance.now();
    await this.#persist(first);
    const speed = (first.end - first.start) / ((performance.now() - began) / 1000);
    if (splits && this.#served && speed < ranges.fast) this.#callHelpers(ranges);
    for (;;) {
      const part = this.#plan.take(splits && this.#helpers.size > 0 ? this.#pace.part(ranges) : Infinity);
      if (part !== undefined) await this.#persist(part);
      else if (this.#helpers.size > 0) await Promise.race(this.#helpers);
      else return;
    }
  }

  async stopHelpers(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#helpers);
  }

  #callHelpers(ranges: Ranges): void {
    for (let lane = 1; lane < ranges.lanes && this.#plan.left > ranges.part * lane; lane++) {
      const helper = this.#help(ranges).finally(() => this.#helpers.delete(helper));
      this.#helpers.add(helper);
    }
  }

  /** Fetches part after part; leaves at the first failure that brings nothing: the rest is the others'. */
  async #help(ranges: Ranges): Promise<void> {
    const next = (): Part | undefined => this.#plan.take(this.#pace.part(ranges));
    for (let part = next(); part !== undefined; part = next()) {
      try {
        while (part.position < part.end) {
          const before = part.position;
          await this.#receive(part, this.#helperSignal).catch((error: unknown) => {
            if (part?.position === before || !isTransient(error) || this.#helperSignal.aborted) throw error;
          });
        }
      } catch {
        // What is wrong for good, the main connection meets, too.
        return;
      } finally {
        this.#plan.release(part);
      }
    }
  }

  /** Fetches a part, whatever happens on the way. */
  async #persist(part: Part): Promise<void> {
    const { signal, attempts = MOST_FRUITLESS } = this.#options;
    while (part.position < part.end) {
      const before = part.position;
      try {
        await this.#receive(part, signal);
      } catch (error) {
        if (signal.aborted) throw new LighterError("cancelled", "context canceled", { cause: error });
        this.#fruitless = part.position > before ? 0 : this.#fruitless + 1;
        const mirror = this.#last?.host.mirror === true;
        if (this.#fruitless > 1 || kindOf(error) === "invalid") this.#last?.distrust(messageOf(error));
        const last = this.#fruitless >= attempts || ++this.#failures > MOST_FAILURES;
        if (last || !(isTransient(error) || (mirror && kindOf(error) === "invalid"))) throw asError(error, this.#blob);
        await this.#wait();
      }
    }
    this.#plan.release(part);
  }

  async #wait(): Promise<void> {
    const { signal, retrying } = this.#options;
    let left = WAITS[Math.min(this.#fruitless, WAITS.length - 1)] ?? 1;
    for (; left >= 1; left--) {
      retrying?.(left);
      await pause(1000, signal);
    }
    await pause(left * 1000, signal);
  }

  /** One connection. It may bring less than the part; that is a failure only where the other side promised more. */
  async #receive(part: Part, signal: AbortSignal): Promise<void> {
    const asked = performance.now();
    const answer = await this.#open(part, signal);
    let [got, began] = [0, 0];
    const reader = answer.body.getReader();
    const writes = new WriteBehind((position, piece) => this.#target.place(position, piece));
    try {
      await this.#place(part, answer, signal === this.#helperSignal);
      const promised = Math.min(part.end, answer.end ?? this.#blob.size);
      for (let piece = await readOrStall(reader); piece !== undefined; piece = await readOrStall(reader)) {
        if (began === 0) began = performance.now();
        if (part.position + piece.length > this.#blob.size)
          throw new LighterError("invalid", `the registry sent more than the ${this.#blob.size} bytes of ${this.#blob.digest}`);
        const taken = piece.subarray(0, part.end - part.position);
        await writes.add(part.position, taken);
        part.position += taken.length;
        got += taken.length;
        this.#options.progress(Math.min(this.#blob.size, this.#target.received));
        if (taken.length < piece.length) break;
      }
      if (began > 0) this.#pace.note({ wait: began - asked, bytes: got, took: performance.now() - asked });
      if (part.position < promised || got === 0) throw new LighterError("unavailable", "unexpected EOF");
    } finally {
      await reader.cancel().catch(() => undefined);
      await writes.flush();
      this.#options.progress(this.#target.received);
    }
  }

  /** Brings what was asked for and what came together: a registry without ranges sends all of the blob. */
  async #place(part: Part, answer: { offset: number; end?: number; size: number | undefined }, helper: boolean): Promise<void> {
    const { digest, size } = this.#blob;
    this.#served = answer.end !== undefined;
    if (answer.size !== undefined && answer.size !== size)
      throw new LighterError("invalid", `the registry has ${answer.size} bytes of ${digest}, the manifest says ${size}`);
    if (answer.end !== undefined && answer.offset === part.position) return;
    if (answer.end !== undefined)
      throw new LighterError("invalid", `the registry sent ${digest} from byte ${answer.offset}, not ${part.position}`);
    if (helper) throw new LighterError("unavailable", "the registry does not serve ranges any more");
    await this.stopHelpers();
    if (this.#target.received > 0) await this.#target.restart();
    Object.assign(part, { start: 0, position: 0, end: size } satisfies Part);
  }

  async #open(part: Part, signal: AbortSignal): ReturnType<Repository["blob"]> {
    const { repositories } = this.#options;
    const { digest, size, urls } = this.#blob;
    const range = { offset: part.position, ...(part.end < size ? { end: part.end } : {}) };
    let failure: unknown;
    for (const repository of repositories.filter((each) => each.trusted || each === repositories.at(-1))) {
      try {
        const answer = await repository.blob(digest, { ...range, signal, ...(urls === undefined ? {} : { urls }) });
        this.#last = repository;
        this.#options.from?.(repository);
        return answer;
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }
}

/** A broken connection surfaces as the transport's own error, with a code of the system. */
function isTransient(error: unknown): boolean {
  if (kindOf(error) === "unavailable") return true;
  const code = (error as { code?: unknown } | null)?.code;
  return error instanceof TypeError || code === "ECONNRESET" || code === "EPIPE" || code === "ETIMEDOUT";
}

function asError(error: unknown, blob: Descriptor): LighterError {
  if (error instanceof LighterError) return error;
  const kind = kindOf(error);
  if (kind === "no-space") return new LighterError(kind, `Cannot store ${blob.digest}: no space left on device`, { cause: error });
  return new LighterError(isTransient(error) ? "unavailable" : kind, `Cannot download ${blob.digest}: ${messageOf(error)}`, {
    cause: error,
  });
}
