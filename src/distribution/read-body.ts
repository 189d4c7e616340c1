import { LighterError } from "../base/errors.ts";

/** After this long without a byte a connection counts as dead. */
const STALL_MS = 30_000;
/** Bytes that may wait for the disk: what a broken connection has delivered is lost unless it was read, so reading goes first. */
const MOST_PENDING = 2 << 20;

/** The next bytes of a body, undefined at its end. Throws `unavailable` when none come for `patience` milliseconds (by default 30 seconds). */
export async function readOrStall(
  reader: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> },
  patience = STALL_MS,
): Promise<Uint8Array | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LighterError("unavailable", `no data for ${patience / 1000} seconds`)), patience);
  });
  try {
    const { done, value } = await Promise.race([reader.read(), stalled]);
    return done ? undefined : value;
  } finally {
    clearTimeout(timer);
  }
}

/** Writes in order without holding up the reader, up to a bound. The first failure comes out of the next call. */
export class WriteBehind {
  readonly #write: (position: number, piece: Uint8Array) => Promise<void>;
  #tail: Promise<void> = Promise.resolve();
  #pending = 0;

  constructor(write: (position: number, piece: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  async add(position: number, piece: Uint8Array): Promise<void> {
    this.#pending += piece.length;
    const before = this.#tail;
    this.#tail = before.then(async () => {
      await this.#write(position, piece);
      this.#pending -= piece.length;
    });
    this.#tail.catch(() => undefined);
    if (this.#pending > MOST_PENDING) await this.#tail;
  }

  async flush(): Promise<void> {
    await this.#tail;
  }
}
