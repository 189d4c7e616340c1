import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { Repository } from "../distribution/distribution.ts";
import { readOrStall } from "../distribution/read-body.ts";
import { pause } from "../distribution/retry.ts";
import type { Descriptor } from "../oci/image.ts";

/** Where a blob comes from, and who is told how far it is. */
export interface PiecesOptions {
  /** The same repository at several addresses, best first. */
  repositories: readonly Repository[];
  /** Fruitless attempts in a row, after which it is given up. */
  attempts: number;
  progress: (done: number) => void;
  signal: AbortSignal;
}

/**
 * The bytes of a blob as they arrive, going on after each broken connection. Whether they were the right ones shows at the end: throws `invalid` for other
 * bytes than the descriptor promises, `unavailable` where no more come.
 */
export async function* blobPieces(blob: Descriptor, options: PiecesOptions): AsyncGenerator<Uint8Array> {
  const hash = new Bun.CryptoHasher("sha256");
  let at = 0;
  for (let fruitless = 0; at < blob.size;) {
    const before = at;
    try {
      for await (const piece of onePass(blob, at, options)) {
        at += piece.length;
        if (at > blob.size) throw new LighterError("invalid", `the registry sent more than the ${blob.size} bytes of ${blob.digest}`);
        hash.update(piece);
        options.progress(at);
        yield piece;
      }
      if (at < blob.size) throw new LighterError("unavailable", `Cannot download ${blob.digest}: unexpected EOF`);
    } catch (error) {
      if (options.signal.aborted) throw new LighterError("cancelled", "context canceled", { cause: error });
      fruitless = at > before ? 0 : fruitless + 1;
      if (fruitless >= options.attempts || !isTransient(error)) throw error;
      await pause(Math.min(8000, 250 * 2 ** fruitless), options.signal);
    }
  }
  if (`sha256:${hash.digest("hex")}` !== blob.digest)
    throw new LighterError("invalid", `Cannot download ${blob.digest}: the registry sent content of another digest`);
}

/** One connection. One that serves no ranges sends all of it again. */
async function* onePass(blob: Descriptor, from: number, { repositories, signal }: PiecesOptions): AsyncGenerator<Uint8Array> {
  const { body, offset } = await open(blob, from, repositories, signal);
  if (offset > from) throw new LighterError("invalid", `the registry sent ${blob.digest} from byte ${offset}, not ${from}`);
  const reader = body.getReader();
  let skip = from - offset;
  try {
    for (let piece = await readOrStall(reader); piece !== undefined; piece = await readOrStall(reader)) {
      if (skip < piece.length) yield piece.subarray(skip);
      skip = Math.max(0, skip - piece.length);
    }
  } catch (error) {
    throw kindOf(error) === "internal" ? new LighterError("unavailable", `Cannot download ${blob.digest}: ${messageOf(error)}`) : error;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function open({ digest }: Descriptor, offset: number, repositories: readonly Repository[], signal: AbortSignal) {
  let failure: unknown = new LighterError("internal", "no address to ask");
  for (const repository of repositories.filter((each) => each.trusted || each === repositories.at(-1))) {
    try {
      return await repository.blob(digest, { offset, signal });
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function isTransient(error: unknown): boolean {
  return kindOf(error) === "unavailable";
}
