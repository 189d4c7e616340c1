import { expect, test } from "bun:test";
import { LighterError } from "../base/errors.ts";
import type { TarEntry } from "./tar-entry.ts";
import { ArchiveMaker, type Random } from "./tar-fuzz-fixture.ts";
import { FIELD, paddingOf, TAR_BLOCK } from "./tar-header.ts";
import { encodePaxRecord } from "./tar-pax.ts";
import { TarParser } from "./tar-read.ts";
import { TAR_END, tarHeader } from "./tar-write.ts";

const seed = Number(process.env["SEED"] ?? process.env["LIGHTER_TEST_SEED"] ?? Date.now() % 1_000_000);
const ROUNDS = process.env["LIGHTER_TEST_FULL"] === "1" ? 200_000 : 2000;

function seeded(start: number): Random {
  let state = start >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** What a reader saw, in one text, and the sentence that it ended with. Everything that it hands out is looked at. */
function read(bytes: Uint8Array, pieces: (left: number) => number): { seen: string; error: string | undefined } {
  const hash = new Bun.CryptoHasher("md5");
  let given = 0;
  let open: TarEntry | undefined;
  const parser = new TarParser({
    entry(entry) {
      open = entry;
      const numbers = [entry.size, entry.mode, entry.uid, entry.gid, entry.major, entry.minor];
      expect(numbers.every(Number.isSafeInteger)).toBe(true);
      expect(entry.size >= 0 && entry.mode <= 0o7777 && entry.uid >= 0 && entry.uid < 2 ** 32 - 1).toBe(true);
      expect(entry.path.includes("\0") || entry.link.includes("\0")).toBe(false);
      hash.update(JSON.stringify(entry, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value)));
    },
    data(piece, offset) {
      given += piece.length;
      expect(offset >= 0 && open !== undefined && offset + piece.length <= open.size).toBe(true);
      for (let at = 0; at < piece.length; at++) hash.update(`${offset + at}:${piece[at]} `);
    },
    end: () => void hash.update("end"),
  });
  let error: string | undefined;
  try {
    for (let at = 0; at < bytes.length;) {
      const size = pieces(bytes.length - at);
      parser.push(bytes.subarray(at, at + size));
      at += size;
    }
    parser.finish();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(LighterError);
    expect((thrown as LighterError).kind).toBe("invalid");
    error = (thrown as LighterError).message;
    expect(error.length).toBeLessThan(300);
  }
  expect(given).toBeLessThanOrEqual(bytes.length);
  return { seen: hash.digest("hex"), error };
}

test(`made-up archives: entries or a sentence, the same wherever the bytes are cut (SEED=${seed})`, () => {
  const random = seeded(seed);
  const maker = new ArchiveMaker(random);
  const tally = { whole: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = maker.archive();
    const whole = read(bytes, (left) => left);
    expect(read(bytes, () => 1 + random(random(2) === 0 ? 5 : 700))).toEqual(whole);
    tally[whole.error === undefined ? "whole" : "refused"]++;
  }
  // Neither all of them sound, nor all broken at their first byte.
  expect(Math.min(tally.whole, tally.refused)).toBeGreaterThan(ROUNDS / 20);
}, 3_600_000);

const PLAIN: TarEntry = {
  type: "file",
  path: "f",
  link: "",
  mode: 0o644,
  uid: 0,
  gid: 0,
  user: "",
  group: "",
  size: 0,
  mtime: 0n,
  major: 0,
  minor: 0,
};

/** A header of a type that the writer does not write, with a body. */
function special(type: string, body: Uint8Array): Buffer {
  const block = Buffer.from(tarHeader({ ...PLAIN, size: body.length }));
  block.write(type, FIELD.type[0], "latin1");
  block.write("        ", FIELD.checksum[0], "latin1");
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, FIELD.checksum[0], "latin1");
  return Buffer.concat([block, body, Buffer.alloc(paddingOf(body.length))]);
}

const MIB = 1 << 20;
const BOMBS: Readonly<Record<string, () => Buffer>> = {
  "a time of a million digits": () => special("x", encodePaxRecord("mtime", Buffer.alloc(MIB, "9"))),
  "a size of a million digits": () => special("x", encodePaxRecord("size", Buffer.alloc(MIB, "9"))),
  "a record without an end": () => special("x", Buffer.alloc(4 * MIB, "1")),
  "a sparse map of a million numbers in one record": () =>
    special(
      "x",
      Buffer.concat([
        encodePaxRecord("GNU.sparse.size", Buffer.from("9")),
        encodePaxRecord("GNU.sparse.map", Buffer.from("1,".repeat(MIB))),
      ]),
    ),
  "an extended header that says it has a gigabyte": () => {
    const block = special("x", new Uint8Array(1));
    block.write("10000000000\0", FIELD.size[0], "latin1");
    block.write("        ", FIELD.checksum[0], "latin1");
    const sum = block.subarray(0, TAR_BLOCK).reduce((all, byte) => all + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, FIELD.checksum[0], "latin1");
    return block;
  },
};

for (const [what, bomb] of Object.entries(BOMBS)) {
  test(`${what} is refused`, () => {
    const { error } = read(Buffer.concat([bomb(), tarHeader(PLAIN), TAR_END]), (left) => left);
    expect(error).toStartWith("Cannot read the tar archive: ");
  });
}

test("a long chain of long names holds but the last", () => {
  const names = Array.from({ length: 3000 }, (_, index) => special("L", Buffer.from(`${"n/".repeat(500)}${index}\0`)));
  const found: string[] = [];
  const parser = new TarParser({ entry: ({ path }) => void found.push(path), data: () => {}, end: () => {} });
  for (const piece of [...names, tarHeader(PLAIN), TAR_END]) parser.push(piece);
  parser.finish();
  expect(found).toEqual([`${"n/".repeat(500)}2999`]);
});

test("a sparse map in extension blocks that never ends is refused before it is held", () => {
  const block = Buffer.alloc(TAR_BLOCK);
  for (let index = 0; index < 21; index++) block.write("00000000001\0" + "00000000000\0", index * 24, "latin1");
  block[504] = 1;
  const header = special("S", new Uint8Array());
  header[FIELD.gnuExtended[0]] = 1;
  header.write("        ", FIELD.checksum[0], "latin1");
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, FIELD.checksum[0], "latin1");
  const parser = new TarParser({ entry: () => {}, data: () => {}, end: () => {} });
  parser.push(header);
  const many = Buffer.concat(Array.from({ length: 1000 }, () => block));
  expect(() => {
    for (let round = 0; round < 1000; round++) parser.push(many);
  }).toThrow("a sparse map does not end");
});
