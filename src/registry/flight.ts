import { open } from "node:fs/promises";
import { LighterError, kindOf, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Ingest } from "../content/content.ts";
import type { Repository } from "../distribution/distribution.ts";
import type { Digest } from "../oci/image.ts";
import type { Tx } from "../state/state.ts";
import { piecesOf } from "./pieces.ts";
import type { ByteRange, Storage } from "./storage.ts";

/** Bytes read at once for a client that follows. */
const PIECE = 1 << 18;
/** How often an upstream that breaks off is asked to go on without any bytes that were not here before; and in all, for one that sends a little each time. */
const ATTEMPTS = 4;
const ATTEMPTS_IN_ALL = 100;
/** After so many milliseconds without a byte a connection counts as dead. */
const PATIENCE = 30_000;

/** What a download needs to know. */
export interface FlightOptions {
  content: Storage;
  repository: Repository;
  digest: Digest;
  /** Makes the blob visible; called in the transaction that ends the download. */
  link: (tx: Tx) => void;
  write: (change: (tx: Tx) => void) => void;
  /** Milliseconds without a byte after which the upstream is asked anew; 30 seconds. */
  patience?: number;
  /** Milliseconds before it is asked anew the first time, longer each time; 200. */
  pause?: number;
}

/** One download of a blob from an upstream, which any number of clients follow while it arrives. It goes on when they leave, to be whole for the next. */
export class Flight {
  /** Bytes of the whole blob; undefined where the upstream does not say. Known once `begun` resolves. */
  size: number | undefined;
  /** Resolves when the upstream has answered; rejects when it does not have the blob. */
  readonly begun: Promise<void>;
  /** Resolves when the blob is here, checked; rejects when it could not be had. */
  readonly done: Promise<void>;
  readonly #options: FlightOptions;
  readonly #begun = Promise.withResolvers<void>();
  #path = "";
  #here = 0;
  #ended: "whole" | Error | undefined;
  #waiting: (() => void)[] = [];

  constructor(options: FlightOptions) {
    this.#options = options;
    this.begun = this.#begun.promise;
    this.done = this.#run();
    // Whoever waits hears of it; nobody has to.
    this.begun.catch(() => undefined);
    this.done.catch(() => undefined);
  }

  /**
   * The bytes as they arrive. The last one is held back until the digest has been found right: what is wrong is never whole.
   * Undefined when the blob is here by now: it is read like any other.
   */
  async follow(range: ByteRange | undefined): Promise<ReadableStream<Uint8Array> | undefined> {
    await this.begun;
    const file = await open(this.#path, "r").catch((error: unknown) => {
      if (kindOf(error) !== "not-found") throw error;
    });
    if (file === undefined) {
      await this.done;
      return undefined;
    }
    let position = range?.start ?? 0;
    const end = range === undefined ? Number.MAX_SAFE_INTEGER : range.end + 1;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const until = Math.min(end, await this.#reached(Math.min(position + 1, end)));
          if (position >= until) {
            await file.close();
            // Without a reason: it is in the log once, and Bun would print it for each client.
            if (this.#ended instanceof Error) controller.error();
            else controller.close();
            return;
          }
          const buffer = new Uint8Array(Math.min(PIECE, until - position));
          const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
          position += bytesRead;
          controller.enqueue(buffer.subarray(0, bytesRead));
        },
        cancel: () => file.close(),
      },
      { highWaterMark: 0 },
    );
  }

  /** How many bytes may be handed out, once that are `wanted` or all that will ever come. */
  async #reached(wanted: number): Promise<number> {
    while (this.#open < wanted && this.#ended === undefined) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.#open;
  }

  get #open(): number {
    return this.#ended === "whole" ? this.#here : Math.max(0, this.#here - 1);
  }

  async #run(): Promise<void> {
    const { content, digest, link, write } = this.#options;
    using lease = content.lease(`cache ${digest}`);
    try {
      lease.addBlob(digest);
      const ingest = await content.ingest(`cache-${digest}`);
      try {
        this.#path = ingest.path;
        this.#advance(ingest.offset);
        await this.#download(ingest);
      } catch (error) {
        await ingest.suspend();
        throw error;
      }
      await ingest.commit({ digest, mediaType: "application/octet-stream" }, lease);
      write(link);
      this.#end("whole");
    } catch (error) {
      const failure = error instanceof Error ? error : new LighterError("internal", String(error));
      this.#end(failure);
      throw failure;
    }
  }

  async #download(ingest: Ingest): Promise<void> {
    const { digest, pause = 200 } = this.#options;
    let furthest = ingest.offset;
    for (let attempt = 1, all = 1; ; attempt++, all++) {
      try {
        return await this.#transfer(ingest);
      } catch (error) {
        // What is sent again from the beginning is no progress until it is past what was here.
        if (ingest.offset > furthest) attempt = 0;
        furthest = Math.max(furthest, ingest.offset);
        const isFinal = ["not-found", "unauthorized", "forbidden", "too-many", "no-space"].includes(kindOf(error));
        if (attempt >= ATTEMPTS || all >= ATTEMPTS_IN_ALL || isFinal) throw error;
        logOf("registry").warn("download of {digest} goes on at {offset}: {why}", { digest, offset: ingest.offset, why: messageOf(error) });
        await Bun.sleep(pause * (attempt + 1));
      }
    }
  }

  /** Asks for what is not here yet, and takes it to its end. */
  async #transfer(ingest: Ingest): Promise<void> {
    const { repository, digest, patience = PATIENCE } = this.#options;
    const connection = new AbortController();
    try {
      const answer = await repository.blob(digest, { offset: ingest.offset, signal: connection.signal });
      if (answer.offset !== ingest.offset) await this.#restart(ingest);
      this.size = answer.size;
      this.#begun.resolve();
      for await (const piece of piecesOf(answer.body, patience)) {
        await ingest.write(piece);
        this.#advance(ingest.offset);
      }
      if (this.size !== undefined && ingest.offset < this.size)
        throw new LighterError("unavailable", `the connection broke off after ${ingest.offset} of ${this.size} bytes`);
    } catch (error) {
      connection.abort();
      throw error;
    }
  }

  /** The upstream sends it from its beginning only: what clients have got already stays as it is, being the same bytes. */
  async #restart(ingest: Ingest): Promise<void> {
    this.#here = 0;
    await ingest.restart();
  }

  #advance(size: number): void {
    this.#here = size;
    this.#wake();
  }

  #end(how: "whole" | Error): void {
    this.#ended = how;
    if (how === "whole") this.#begun.resolve();
    else this.#begun.reject(how);
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
