import { closeSync, openSync, readSync } from "node:fs";
import { createGunzip, createZstdDecompress } from "node:zlib";
import type { Transform } from "node:stream";
import { LighterError } from "../base/errors.ts";
import { breathe } from "./job.ts";
import { packingProgram, throughProgram } from "./packing-program.ts";

const CHUNK = 1 << 20;

/** A packed file that may still be growing. */
export interface GrowingFile {
  path: string;
  /** Resolves with the bytes that are there once they are more than `position`, or all of them. */
  available(position: number): Promise<{ size: number; complete: boolean }>;
  /** Told how far reading came. */
  progress?(position: number): void;
}

/** The bytes of a file in pieces of at most 1 MiB, followed as it grows. Each piece is the reader's to keep. */
export async function* readGrowing(file: GrowingFile, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const fd = openSync(file.path, "r");
  try {
    let position = 0;
    for (;;) {
      const { size, complete } = await file.available(position);
      while (position < size) {
        const piece = Buffer.allocUnsafeSlow(Math.min(CHUNK, size - position));
        const got = readSync(fd, piece, 0, piece.length, position);
        if (got === 0) throw new LighterError("internal", `Cannot read "${file.path}": it is shorter than it was`);
        position += got;
        yield piece.subarray(0, got);
        file.progress?.(position);
        await breathe(signal);
      }
      if (complete && position >= size) return;
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * Unpacks gzip (all members), zstd, xz and bzip2 by what the first bytes are, whatever the media type promised; other bytes pass through.
 * Decompression runs on another thread, about a chunk ahead. Throws `invalid` for damaged data.
 */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  const first = await firstBytes(iterator);
  const rest = chain(first, iterator);
  if (first[0] === 0x1f && first[1] === 0x8b) yield* through(rest, createGunzip({ chunkSize: CHUNK }));
  else if (first[0] === 0x28 && first[1] === 0xb5 && first[2] === 0x2f && first[3] === 0xfd)
    yield* through(rest, createZstdDecompress({ chunkSize: CHUNK }));
  else {
    const program = packingProgram(first);
    yield* program === undefined ? rest : throughProgram(rest, program);
  }
}

async function firstBytes(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let first: Uint8Array = new Uint8Array();
  while (first.length < 6) {
    const next = await iterator.next();
    if (next.done === true) break;
    first = first.length === 0 ? next.value : Buffer.concat([first, next.value]);
  }
  return first;
}

async function* chain(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield first;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

async function* through(source: AsyncIterable<Uint8Array>, stream: Transform): AsyncGenerator<Uint8Array> {
  const feeding = feed(source, stream);
  // It may fail before the stream has told: that is heard below.
  feeding.catch(() => undefined);
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
    await feeding;
  } catch (error) {
    throw translate(error);
  } finally {
    stream.destroy();
    await feeding.catch(() => {});
  }
}

async function feed(source: AsyncIterable<Uint8Array>, stream: Transform): Promise<void> {
  try {
    for await (const chunk of source) {
      if (stream.destroyed) return;
      if (!stream.write(chunk)) await drained(stream);
    }
    stream.end();
  } catch (error) {
    stream.destroy(error as Error);
    throw error;
  }
}

async function drained(stream: Transform): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.once("drain", done);
    stream.once("close", done);
  });
}

function translate(error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === "string" && /^(Z_|ZSTD_|ERR_ZSTD|ERR_BUFFER)/.test(code))
    return new LighterError("invalid", `Cannot decompress the layer: ${(error as Error).message}`, { cause: error });
  return error;
}
