import { createGunzip, createZstdDecompress } from "node:zlib";
import { Readable, Transform } from "node:stream";
import { LighterError } from "../base/errors.ts";
import { packingProgram, throughProgram } from "../content/packing-program.ts";

const CHUNK = 1 << 20;

/** First bytes of the packings that an archive may come in. */
const MAGIC: readonly { name: string; bytes: readonly number[] }[] = [
  { name: "gzip", bytes: [0x1f, 0x8b] },
  { name: "zstd", bytes: [0x28, 0xb5, 0x2f, 0xfd] },
];

/** The pieces of an archive, unpacked if it is gzip, zstd, xz or bzip2 by its first bytes (on other threads). Throws `invalid` for damaged data. */
export async function* unwrap(archive: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = archive[Symbol.asyncIterator]();
  const first = await firstBytes(source);
  const packing = MAGIC.find(({ bytes }) => bytes.every((byte, index) => first[index] === byte))?.name;
  const rest = rejoin(first, source);
  if (packing === undefined) {
    const program = packingProgram(first);
    return yield* program === undefined ? rest : throughProgram(rest, program);
  }
  yield* through(rest, packing === "gzip" ? createGunzip({ chunkSize: CHUNK }) : createZstdDecompress({ chunkSize: CHUNK }));
}

/** Bytes through a stream of node:zlib. */
export async function* through(source: AsyncIterable<Uint8Array>, stream: Transform): AsyncGenerator<Uint8Array> {
  const input = Readable.from(source, { objectMode: false, highWaterMark: CHUNK });
  input.on("error", (error) => stream.destroy(error));
  try {
    for await (const piece of input.pipe(stream)) yield piece as Uint8Array;
  } catch (error) {
    const code = String((error as { code?: unknown }).code ?? "");
    if (/^(Z_|ZSTD|ERR_ZSTD)/.test(code))
      throw new LighterError("invalid", `Cannot read the archive: ${(error as Error).message}`, { cause: error });
    throw error;
  } finally {
    input.destroy();
    stream.destroy();
  }
}

async function firstBytes(source: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let first: Uint8Array = new Uint8Array();
  while (first.length < 6) {
    const next = await source.next();
    if (next.done === true) break;
    first = first.length === 0 ? next.value : Buffer.concat([first, next.value]);
  }
  return first;
}

async function* rejoin(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (first.length > 0) yield first;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
