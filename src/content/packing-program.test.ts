import { expect, test } from "bun:test";
import { decompress } from "./packed-source.ts";

const TEXT = "some text, again and again\n".repeat(200_000);

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function all(source: AsyncIterable<Uint8Array>): Promise<string> {
  const found: Uint8Array[] = [];
  for await (const piece of source) found.push(piece);
  return Buffer.concat(found).toString();
}

for (const program of ["xz", "bzip2", "gzip"].filter((name) => Bun.which(name) !== null)) {
  test(`${program}: unpacked whole, from pieces of any size; damage is said; a reader may stop`, async () => {
    const packed = await Bun.spawn([program, "-c"], { stdin: Buffer.from(TEXT) }).stdout.bytes();
    for (const size of [3, 100, 1 << 20]) expect((await all(decompress(pieces(packed, size)))) === TEXT).toBe(true);
    const cut = packed.slice(0, packed.length - 20);
    expect(
      await all(decompress(pieces(cut, 1000))).then(
        () => "read",
        (error: { kind?: string }) => error.kind,
      ),
    ).toBe("invalid");
    for await (const piece of decompress(pieces(packed, 1000))) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
  });
}
