import { LighterError } from "../base/errors.ts";
import type { Ingest } from "../content/content.ts";

/** A body of which nothing came for so long is given up, in milliseconds; what came of it is kept. */
export const STALL_MS = 60_000;

/**
 * Writes a request's body; resolves with how many bytes it had.
 * Throws `cancelled` when the client went away or nothing comes any more, and `invalid` when it is shorter than it was said to be.
 */
export async function receive(request: Request, ingest: Pick<Ingest, "write">, stall = STALL_MS): Promise<number> {
  const reader = request.body?.getReader();
  if (reader === undefined) return 0;
  let received = 0;
  try {
    for (;;) {
      const { done, value } = await withinStall(reader.read(), stall);
      if (done) break;
      // Who writes them may take them away.
      received += value.length;
      await ingest.write(value);
    }
  } catch (error) {
    void reader.cancel().catch(() => {});
    throw error;
  }
  const told = request.headers.get("content-length");
  if (told !== null && Number(told) !== received)
    throw new LighterError("cancelled", `Cannot take the body: it ended after ${received} of ${told} bytes`);
  return received;
}

/** A whole body in memory; undefined when it is larger than `limit` bytes. Throws as {@link receive}. */
export async function readShort(request: Request, limit: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (Number(request.headers.get("content-length") ?? 0) > limit) return undefined;
  const pieces: Uint8Array[] = [];
  let size = 0;
  const write = async (piece: Uint8Array): Promise<void> => {
    size += piece.length;
    if (size > limit) throw new LighterError("invalid", `Cannot take the body: it is larger than ${limit} bytes`);
    pieces.push(piece);
  };
  try {
    await receive(request, { write });
  } catch (error) {
    if (size > limit) return undefined;
    throw error;
  }
  return new Uint8Array(Buffer.concat(pieces));
}

async function withinStall<T>(read: Promise<T>, milliseconds: number): Promise<T> {
  let timer: Timer | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new LighterError("cancelled", `Cannot take the body: nothing came for ${milliseconds} ms`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([read, stalled]);
  } catch (error) {
    throw error instanceof LighterError
      ? error
      : new LighterError("cancelled", "Cannot take the body: the client went away", { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
