import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { hexOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import type { Blob, Content, ContentOptions, Layer, Progress } from "./content.ts";
import { DiskSync } from "./disk-sync.ts";
import type { FileIngest } from "./ingest.ts";
import { blobFile, layerDirectory, type Places } from "./places.ts";
import { type Job, startJob } from "./pool.ts";
import { insertLayer, insertLayerBlob } from "./rows.ts";
import { spaced } from "./spaced.ts";
import type { UnpackNews, UnpackTold } from "./unpack-layer.ts";

/** The options of `Content.unpack`. */
export type UnpackOptions = Parameters<Content["unpack"]>[0];

/** What unpacking needs of the store. */
export interface UnpackNeeds {
  places: Places;
  state: ContentOptions["state"];
  blob(digest: Digest): Blob | undefined;
  layer(chainId: Digest): Layer | undefined;
  layerStack(chainId: Digest): Layer[];
  ingesting(ref: string): FileIngest | undefined;
  /** Bytes that a layer may unpack to. */
  maxLayerSize?: number | undefined;
}

interface Shared {
  result: Promise<Layer>;
  controller: AbortController;
  waiting: number;
  listeners: Set<Progress>;
  /** It follows a download, and fails with it. */
  follows: boolean;
}

type Told = { bytes: number; inodes: number };

/** Unpacks layers, each chain id once at a time: who asks again shares the work, and it is cancelled when the last one gives up. */
export class Unpacker {
  readonly #needs: UnpackNeeds;
  readonly #shared = new Map<Digest, Shared>();
  readonly #disk: DiskSync;
  #runs = 0;

  constructor(needs: UnpackNeeds) {
    this.#needs = needs;
    this.#disk = new DiskSync(needs.places.layers);
  }

  async unpack(options: UnpackOptions): Promise<Layer> {
    options.lease.addLayer(options.chainId);
    if (options.parent !== undefined) options.lease.addLayer(options.parent);
    for (;;) {
      const here = this.#needs.layer(options.chainId);
      if (here !== undefined) return here;
      const running = this.#shared.get(options.chainId);
      if (running === undefined) return await this.#join(this.#begin(options), options);
      if (running.controller.signal.aborted) await running.result.catch(() => {});
      else if (running.follows && "blob" in options.source) {
        // Who has the whole blob is not to fail with somebody else's download.
        await this.#join(running, options).catch((error: unknown) => {
          if (options.signal?.aborted === true) throw error;
        });
      } else return await this.#join(running, options);
    }
  }

  #begin(options: UnpackOptions): Shared {
    const controller = new AbortController();
    const listeners = new Set<Progress>();
    const result = this.#run(options, controller.signal, listeners).finally(() => this.#shared.delete(options.chainId));
    // Whoever waits hears of a failure; nobody may be left to.
    result.catch(() => {});
    const shared: Shared = { result, controller, waiting: 0, listeners, follows: "ingest" in options.source };
    this.#shared.set(options.chainId, shared);
    return shared;
  }

  async #join(shared: Shared, { progress, signal }: UnpackOptions): Promise<Layer> {
    shared.waiting++;
    if (progress !== undefined) shared.listeners.add(progress);
    const leave = (): void => {
      if (--shared.waiting === 0) shared.controller.abort();
    };
    try {
      if (signal === undefined) return await shared.result;
      if (signal.aborted) {
        leave();
        throw cancelled();
      }
      return await new Promise<Layer>((resolve, reject) => {
        const abort = (): void => {
          leave();
          // The last one waits until nothing is left of it.
          if (shared.waiting === 0) shared.result.then(() => reject(cancelled()), reject);
          else reject(cancelled());
        };
        signal.addEventListener("abort", abort, { once: true });
        shared.result.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
      });
    } finally {
      if (progress !== undefined) shared.listeners.delete(progress);
    }
  }

  async #run(options: UnpackOptions, signal: AbortSignal, listeners: Set<Progress>): Promise<Layer> {
    for (;;) {
      const outcome = await this.#attempt(options, signal, listeners);
      if (outcome !== "restarted") return this.#record(options, outcome);
    }
  }

  /** One job; `restarted` when the download began anew under it. */
  async #attempt(options: UnpackOptions, signal: AbortSignal, listeners: Set<Progress>): Promise<Told | "restarted"> {
    const { places } = this.#needs;
    const source = this.#source(options);
    const parent = this.#below(options.parent);
    const file = openSync(source.path, "r");
    const stop = new AbortController();
    const job = startJob(
      "unpackLayer",
      {
        work: join(places.work, `${hexOf(options.chainId)}.${process.pid}.${++this.#runs}`),
        directory: layerDirectory(places, options.chainId),
        diffId: options.diffId,
        ...(this.#needs.maxLayerSize === undefined ? {} : { most: this.#needs.maxLayerSize }),
        news: { path: `/proc/self/fd/${file}`, ...source.news, ...(parent instanceof Promise ? {} : { lower: parent }) },
      },
      { signal: AbortSignal.any([signal, stop.signal]) },
    );
    let restarted = false;
    let failure: unknown;
    const fail = (error: unknown): void => {
      failure ??= error;
      stop.abort();
    };
    const unwatch = source.watch(
      (news) => void job.port.send(news).catch(() => {}),
      () => {
        restarted = true;
        stop.abort();
      },
      fail,
    );
    if (parent instanceof Promise) parent.then((lower) => job.port.send({ lower }), fail).catch(() => {});
    void relay(job, {
      progress: (done) => listeners.forEach((listener) => listener(done, source.total())),
      unpacked: () => void this.#disk.flush().then(() => job.port.send({ synced: true }).catch(() => {}), fail),
    });
    try {
      return await job.result;
    } catch (error) {
      if (restarted) return "restarted";
      throw spaced(failure ?? error, `Cannot unpack layer ${options.diffId}`);
    } finally {
      unwatch();
      closeSync(file);
    }
  }

  #record(options: UnpackOptions, { bytes, inodes }: Told): Layer {
    const { chainId, diffId, parent } = options;
    const from = this.#needs.blob("blob" in options.source ? options.source.blob : (options.source.ingest as Digest))?.digest;
    this.#needs.state.write(
      (tx) => {
        insertLayer(tx, { chain_id: chainId, parent: parent ?? null, diff_id: diffId, size: bytes, inodes });
        if (from !== undefined) insertLayerBlob(tx, chainId, from);
      },
      { durable: false },
    );
    return { chainId, parent, diffId, size: bytes, directory: layerDirectory(this.#needs.places, chainId) };
  }

  /** The directories below, or a promise of them while the parent is still being unpacked. */
  #below(parent: Digest | undefined): string[] | Promise<string[]> {
    if (parent === undefined) return [];
    const stack = (): string[] => this.#needs.layerStack(parent).map((layer) => layer.directory);
    const running = this.#shared.get(parent);
    if (running === undefined) return stack();
    const stacked = running.result.then(stack);
    // The job hears of a failure; where there comes to be no job, nobody does.
    stacked.catch(() => {});
    return stacked;
  }

  #source({ source }: UnpackOptions): Source {
    const ingest = "ingest" in source ? this.#needs.ingesting(source.ingest) : undefined;
    // A download that has ended is a blob, if it was named by its digest.
    const digest = "blob" in source ? source.blob : (source.ingest as Digest);
    if (ingest === undefined || "blob" in source) {
      const blob = this.#needs.blob(digest);
      if (blob === undefined) throw new LighterError("not-found", `Cannot unpack ${digest}: it is not here, and nobody downloads it`);
      return {
        path: blobFile(this.#needs.places, digest),
        total: () => blob.size,
        news: { size: blob.size, complete: true, verified: true },
        watch: () => () => {},
      };
    }
    return {
      path: ingest.path,
      total: () => ingest.offset,
      news: { size: ingest.offset, complete: false, verified: false },
      watch: (tell, restarted, fail) => {
        const watcher = { grown: (size: number) => tell({ size }), restarted };
        ingest.watchers.add(watcher);
        source.finished.then(() => tell({ size: ingest.offset, complete: true, verified: true }), fail);
        return () => void ingest.watchers.delete(watcher);
      },
    };
  }
}

interface Source {
  path: string;
  total(): number;
  news: UnpackNews;
  watch(tell: (news: UnpackNews) => void, restarted: () => void, fail: (error: unknown) => void): () => void;
}

/** Takes what the job tells until it ends. */
async function relay(job: Job<Told>, { progress, unpacked }: { progress: (done: number) => void; unpacked: () => void }): Promise<void> {
  try {
    for (;;) {
      const told = (await job.port.receive()) as UnpackTold | undefined;
      if (told === undefined) return;
      if (told.progress !== undefined) progress(told.progress);
      if (told.unpacked === true) unpacked();
    }
  } catch {
    // The job has ended: its result says how.
  }
}

function cancelled(): LighterError {
  return new LighterError("cancelled", "The unpacking was cancelled");
}
