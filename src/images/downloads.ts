import { kindOf, LighterError } from "../base/errors.ts";
import type { Blob, Content, Ingest, Lease } from "../content/content.ts";
import type { Repository } from "../distribution/distribution.ts";
import type { Descriptor, Digest } from "../oci/image.ts";
import { fetchBlob } from "./fetch-blob.ts";

/** What one pull gets told of a download that it may share with others. */
export interface Listener {
  /** All slots are taken: the download waits. */
  waiting(): void;
  progress(done: number): void;
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

/** As Docker's `max-concurrent-downloads`. */
const SLOTS = 3;

/** Downloads of blobs: three at once in the whole engine, and each blob once however many pulls want it. */
export class Downloads {
  readonly #content: Content;
  readonly #running = new Map<Digest, Running>();
  readonly #queue: (() => void)[] = [];
  #free = SLOTS;

  constructor(content: Content) {
    this.#content = content;
  }

  /** Joins the download of a blob, or begins it. It is given up (and kept for resuming) once every signal of those who wanted it has fired. */
  fetch(
    blob: Descriptor,
    options: { repositories: readonly Repository[]; lease: Lease; listener: Listener; signal: AbortSignal },
  ): Download {
    if (options.signal.aborted) throw new LighterError("cancelled", "context canceled");
    let running = this.#running.get(blob.digest);
    if (running === undefined || running.abort.signal.aborted) {
      // One that is being given up still holds the partial file: the next waits until it is closed.
      this.#running.set(blob.digest, (running = this.#begin(blob, options.repositories, running?.finished)));
    }
    const { listeners, abort } = running;
    listeners.set(options.listener, options.lease);
    if (running.waiting) options.listener.waiting();
    const leave = (): void => {
      listeners.delete(options.listener);
      if (listeners.size === 0) abort.abort();
    };
    options.signal.addEventListener("abort", leave, { once: true });
    const done = (): void => options.signal.removeEventListener("abort", leave);
    running.finished.then(done, done);
    const { finished } = running;
    const closed = (): Promise<unknown> | undefined => (abort.signal.aborted ? finished : undefined);
    return { started: orCancelled(running.started, options.signal, closed), finished: orCancelled(finished, options.signal, closed) };
  }

  #begin(blob: Descriptor, repositories: readonly Repository[], before: Promise<unknown> | undefined): Running {
    const started = Promise.withResolvers<string>();
    const running: Running = {
      started: started.promise,
      finished: Promise.reject(new LighterError("internal", "not begun")),
      listeners: new Map(),
      abort: new AbortController(),
      waiting: this.#free === 0,
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
      const ingest = await this.#content.ingest(blob.digest);
      const resumed = ingest.offset > 0;
      started(blob.digest);
      try {
        return await this.#transfer(ingest, blob, repositories, running);
      } catch (error) {
        // The part that an earlier attempt left may be what is wrong: once more, from nothing.
        if (!resumed || kindOf(error) !== "invalid") throw error;
        return await this.#transfer(await this.#content.ingest(blob.digest), blob, repositories, running);
      }
    } finally {
      this.#leave();
    }
  }

  async #transfer(ingest: Ingest, blob: Descriptor, repositories: readonly Repository[], running: Running): Promise<Blob> {
    const tell = (call: (listener: Listener) => void): void => running.listeners.forEach((_, listener) => call(listener));
    try {
      const progress = (done: number): void => tell((listener) => listener.progress(done));
      await fetchBlob(ingest, blob, { repositories, signal: running.abort.signal, progress });
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
    if (this.#free > 0) {
      this.#free--;
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

  #leave(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#free++;
    else next();
  }
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
