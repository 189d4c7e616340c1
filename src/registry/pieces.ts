import { LighterError } from "../base/errors.ts";

/** The pieces of a body. Throws `unavailable` when none comes for `patience` milliseconds: the connection counts as dead then, and is left. */
export async function* piecesOf(body: ReadableStream<Uint8Array>, patience: number): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read(), patience);
      if (done) return;
      yield value;
    }
  } finally {
    // Not waited for: what stands still does not end either.
    reader.cancel().catch(() => undefined);
  }
}

async function inTime<T>(result: Promise<T>, patience: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new LighterError("unavailable", `no data for ${patience / 1000} seconds`)), patience);
  try {
    return await Promise.race([result, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
