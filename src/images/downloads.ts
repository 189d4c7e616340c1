import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { Blob, Content, Ingest, Lease } from "../content/content.ts";
import type { Repository, TransferLimits } from "../distribution/distribution.ts";
import type { Descriptor, Digest } from "../oci/image.ts";
import { pause } from "../distribution/retry.ts";
import { fetchBlob } from "./fetch-blob.ts";
import { RANGES } from "./range-plan.ts";

/** Between two looks at a blob that somebody else is writing, in milliseconds. */
const PUSHED = 200;

/** What one pull gets told of a download that it may share with others. */
export interface Listener {
  /** All slots are taken: the download waits. */
  waiting(): void;
  progress(done: number): void;
  /** The connection broke; the next attempt is so far away. */
  retrying(seconds: number): void;
  /** All bytes are here; the digest is being checked. */
  verifying(): void;
}

/** A blob under way. */
export interface Download {
  /** Resolves once the partial file exists, with its name: from here on its bytes can be followed. */
  started: Promise<string>;
  /** Resolves when the blob is stored and pinned by the lease of everybody who asked for it. */
  finished: Promise<Blob>;
}

interface Running extends Download {
  listeners: Map<Listener, Lease>;
  abort: AbortController;
  waiting: boolean;
}

/** Who wants a blob, and where it is. */
export interface Wish {
  repositories: readonly Repository[];
  lease: Lease;
  listener: Listener;
  signal: AbortSignal;
}

/** Downloads of blobs: a few at once in the whole engine, and each blob once however many pulls want it. */
export class Downloads {
  readonly #content: Content;
  readonly #limits: Readonly<TransferLimits>;
  readonly #running = new Map<Digest, Running>();
  readonly #queue: (() => void)[] = [];
  #active = 0;

  /** @param limits read anew for each download */
  constructor(content: Content, limits: Readonly<TransferLimits>) {
    this.#content = content;
    this.#limits = limits;
  }

  /**
   * Joins the download of a blob, or begins it. It is given up (and kept for resuming) once every signal of those who wanted it has fired. Who joined one
   * that fails fetches from where its own image comes.
   */
  fetch(blob: Descriptor, wish: Wish): Download {
    if (wish.signal.aborted) throw new LighterError("cancelled", "context canceled");
    const running = this.#running.get(blob.digest);
    if (running !== undefined && !running.abort.signal.aborted) {
      const { started, finished } = this.#join(running, wish);
      const own = (error: unknown): Promise<Blob> => {
        if (wish.signal.aborted || kindOf(error) === "no-space") throw error;
        return this.fetch(blob, wish).finished;
      };
      return { started, finished: finished.catch(own) };
    }
    // One that is being given up still holds the partial file: the next waits until it is closed.
    const fresh = this.#begin(blob, wish.repositories, running?.finished);
    this.#running.set(blob.digest, fresh);
    return this.#join(fresh, wish);
  }

  #join(running: Running, { lease, listener, signal }: Wish): Download {
    const { listeners, abort } = running;
    listeners.set(listener, lease);
    if (running.waiting) listener.waiting();
    const leave = (): void => {
      listeners.delete(listener);
      if (listeners.size === 0) abort.abort();
    };
    signal.addEventListener("abort", leave, { once: true });
    const done = (): void => signal.removeEventListener("abort", leave);
    running.finished.then(done, done);
    const { finished } = running;
    const closed = (): Promise<unknown> | undefined => (abort.signal.aborted ? finished : undefined);
    return { started: orCancelled(running.started, signal, closed), finished: orCancelled(finished, signal, closed) };
  }

  #begin(blob: Descriptor, repositories: readonly Repository[], before: Promise<unknown> | undefined): Running {
    const started = Promise.withResolvers<string>();
    const running: Running = {
      started: started.promise,
      finished: Promise.reject(new LighterError("internal", "not begun")),
      listeners: new Map(),
      abort: new AbortController(),
      waiting: this.#active >= this.#limits.downloads,
    };
    running.finished.catch(() => undefined);
    const work = this.#run(blob, repositories, { running, before, started: started.resolve });
    running.finished = work.finally(() => {
      if (this.#running.get(blob.digest) === running) this.#running.delete(blob.digest);
    });
    running.finished.catch(started.reject);
    started.promise.catch(() => undefined);
    return running;
  }

  async #run(
    blob: Descriptor,
    repositories: readonly Repository[],
    { running, before, started }: { running: Running; before: Promise<unknown> | undefined; started: (ref: string) => void },
  ): Promise<Blob> {
    await before?.catch(() => undefined);
    await this.#enter(running.abort.signal);
    running.waiting = false;
    try {
      const ingest = await this.#claim(blob.digest, running.abort.signal);
      if (!("write" in ingest)) return this.#present(ingest, running, started);
      const resumed = ingest.received > 0;
      const sources = new Set<Repository>();
      started(blob.digest);
      try {
        return await this.#transfer(ingest, blob, { repositories, running, sources });
      } catch (error) {
        // What an earlier attempt left, a mirror or one of several ranges may be what is wrong: once more, from nothing and in one piece.
        const doubtful = resumed || blob.size >= RANGES.from || [...sources].some((each) => each.host.mirror === true);
        if (!doubtful || kindOf(error) !== "invalid" || sources.size === 0) throw error;
        for (const each of sources) each.distrust(messageOf(error));
        const again = await this.#claim(blob.digest, running.abort.signal);
        if (!("write" in again)) return this.#present(again, running, started);
        return await this.#transfer(again, blob, { repositories, running, sources, whole: true });
      }
    } finally {
      this.#leave();
    }
  }

  /** The partial file; while another daemon pushes the same blob that one has it, and the blob may be here in the end. */
  async #claim(digest: Digest, signal: AbortSignal): Promise<Ingest | Blob> {
    for (;;) {
      try {
        return await this.#content.ingest(digest);
      } catch (error) {
        if (kindOf(error) !== "conflict") throw error;
      }
      if (signal.aborted) throw new LighterError("cancelled", "context canceled");
      await pause(PUSHED, signal);
      const blob = this.#content.blob(digest);
      if (blob !== undefined) return blob;
    }
  }

  /** What another one has brought meanwhile. */
  #present(blob: Blob, { listeners }: Running, started: (ref: string) => void): Blob {
    for (const [listener, lease] of listeners) {
      lease.addBlob(blob.digest);
      listener.progress(blob.size);
    }
    started(blob.digest);
    return blob;
  }

  async #transfer(
    ingest: Ingest,
    blob: Descriptor,
    { repositories, running, sources, whole }: Transfer & { running: Running },
  ): Promise<Blob> {
    const tell = (call: (listener: Listener) => void): void => running.listeners.forEach((_, listener) => call(listener));
    try {
      await fetchBlob(ingest, blob, {
        repositories,
        signal: running.abort.signal,
        attempts: this.#limits.attempts,
        from: (repository) => sources.add(repository),
        progress: (done) => tell((listener) => listener.progress(done)),
        retrying: (seconds) => tell((listener) => listener.retrying(seconds)),
        ...(whole === true ? { ranges: false as const } : {}),
      });
    } catch (error) {
      // What came over a broken line is good for resuming; on a full disk, or from a registry that sends rubbish, it is not.
      await (kindOf(error) === "no-space" || kindOf(error) === "invalid" ? ingest.abort() : ingest.suspend());
      throw error;
    }
    tell((listener) => listener.verifying());
    using lease = this.#content.lease(`download ${blob.digest}`);
    lease.addBlob(blob.digest);
    try {
      const stored = await ingest.commit({ digest: blob.digest, size: blob.size, mediaType: blob.mediaType }, lease);
      running.listeners.forEach((each) => each.addBlob(blob.digest));
      return stored;
    } catch (error) {
      if (kindOf(error) !== "invalid") throw error;
      throw new LighterError("invalid", `filesystem layer verification failed for digest ${blob.digest}`, { cause: error });
    }
  }

  #enter(signal: AbortSignal): Promise<void> {
    if (this.#active < this.#limits.downloads) {
      this.#active++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const take = (): void => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = (): void => {
        this.#queue.splice(this.#queue.indexOf(take), 1);
        reject(new LighterError("cancelled", "context canceled"));
      };
      this.#queue.push(take);
      signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  /** The limit may have changed meanwhile: as many go on as it has room for. */
  #leave(): void {
    this.#active--;
    while (this.#active < this.#limits.downloads) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#active++;
      next();
    }
  }
}

interface Transfer {
  repositories: readonly Repository[];
  /** Where bytes came from so far. */
  sources: Set<Repository>;
  /** In one piece. */
  whole?: boolean;
}

/**
 * A promise that several share, seen by one of them: rejects with `cancelled` once that one's signal fires;
 * for the last one only after everything is closed.
 */
function orCancelled<T>(promise: Promise<T>, signal: AbortSignal, closed: () => Promise<unknown> | undefined): Promise<T> {
  const { promise: seen, resolve, reject } = Promise.withResolvers<T>();
  const cancel = (): void => reject(new LighterError("cancelled", "context canceled"));
  const stop = (): void => void (closed() ?? Promise.reject(new Error("left"))).then(cancel, cancel);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  promise
    .then(resolve, (error: unknown) => (signal.aborted ? cancel() : reject(error)))
    .finally(() => signal.removeEventListener("abort", stop));
  seen.catch(() => undefined);
  return seen;
}
