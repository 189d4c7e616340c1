import { kindOf, LighterError } from "../base/errors.ts";
import type { Ingest } from "../content/content.ts";
import { pause } from "../distribution/connection.ts";
import type { Repository } from "../distribution/distribution.ts";
import type { Descriptor } from "../oci/image.ts";

/** After this long without a byte a connection counts as dead. */
const STALL_MS = 30_000;
/** Failures in a row without a byte of progress, and in all. */
const MOST_FRUITLESS = 5;
const MOST_FAILURES = 100;

/** Where a blob is fetched from, and who is told how far it is. */
export interface FetchOptions {
  /** The same repository at several addresses, best first. */
  repositories: readonly Repository[];
  signal: AbortSignal;
  progress: (done: number) => void;
}

/**
 * Brings the bytes of a blob into an ingest, from where it stands, going on by `Range` after each broken connection.
 * Throws `unavailable` once that leads nowhere, `invalid` for more bytes than the descriptor promises.
 */
export async function fetchBlob(
  ingest: Pick<Ingest, "offset" | "write" | "restart">,
  blob: Descriptor,
  options: FetchOptions,
): Promise<void> {
  let position = ingest.offset;
  if (position > blob.size) {
    await ingest.restart();
    position = 0;
  }
  let fruitless = 0;
  for (let failures = 0; position < blob.size; failures++) {
    const before = position;
    try {
      await receive();
    } catch (error) {
      if (options.signal.aborted) throw new LighterError("cancelled", "context canceled", { cause: error });
      fruitless = position > before ? 0 : fruitless + 1;
      const last = fruitless >= MOST_FRUITLESS || failures >= MOST_FAILURES;
      if (last || !isTransient(error)) throw asError(error, blob);
      await pause(Math.min(100 * 2 ** fruitless, 3000), options.signal);
    }
  }

  async function receive(): Promise<void> {
    const answer = await openBlob(position);
    if (answer.offset !== position) {
      if (answer.offset !== 0)
        throw new LighterError("invalid", `the registry sent ${blob.digest} from byte ${answer.offset}, not ${position}`);
      await ingest.restart();
      position = 0;
    }
    options.progress(position);
    const reader = answer.body.getReader();
    const writes = new WriteBehind(ingest);
    try {
      for (let piece = await readOrStall(reader); piece !== undefined; piece = await readOrStall(reader)) {
        if (position + piece.length > blob.size) {
          throw new LighterError("invalid", `the registry sent more than the ${blob.size} bytes of ${blob.digest}`);
        }
        position += piece.length;
        await writes.add(piece);
        options.progress(position);
      }
    } finally {
      await reader.cancel().catch(() => undefined);
      await writes.flush();
    }
    if (position < blob.size) throw new LighterError("unavailable", "unexpected EOF");
  }

  async function openBlob(offset: number): ReturnType<Repository["blob"]> {
    let failure: unknown;
    for (const repository of options.repositories) {
      try {
        return await repository.blob(blob.digest, {
          offset,
          signal: options.signal,
          ...(blob.urls === undefined ? {} : { urls: blob.urls }),
        });
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }
}

/** Bytes that may wait for the disk: what a broken connection has delivered is lost unless it was read, so reading goes first. */
const MOST_PENDING = 8 << 20;

/** Writes in order without holding up the reader, up to a bound. The first failure comes out of the next call. */
class WriteBehind {
  readonly #ingest: Pick<Ingest, "write">;
  #tail: Promise<void> = Promise.resolve();
  #pending = 0;

  constructor(ingest: Pick<Ingest, "write">) {
    this.#ingest = ingest;
  }

  async add(piece: Uint8Array): Promise<void> {
    this.#pending += piece.length;
    const before = this.#tail;
    this.#tail = before.then(async () => {
      await this.#ingest.write(piece);
      this.#pending -= piece.length;
    });
    this.#tail.catch(() => undefined);
    if (this.#pending > MOST_PENDING) await this.#tail;
  }

  async flush(): Promise<void> {
    await this.#tail;
  }
}

async function readOrStall(reader: {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
}): Promise<Uint8Array | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LighterError("unavailable", `no data for ${STALL_MS / 1000} seconds`)), STALL_MS);
  });
  try {
    const { done, value } = await Promise.race([reader.read(), stalled]);
    return done ? undefined : value;
  } finally {
    clearTimeout(timer);
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
  return new LighterError(isTransient(error) ? "unavailable" : kind, `Cannot download ${blob.digest}: ${(error as Error).message}`, {
    cause: error,
  });
}
