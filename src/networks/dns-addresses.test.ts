import { expect, test } from "bun:test";
import { addressesOf, readName } from "./dns-addresses.ts";
import { CODE, TYPE, answerTo, cutToFit, encodeName, parseQuestion } from "./dns-message.ts";

const CNAME = 5;
const SEED = Number(process.env["LIGHTER_TEST_SEED"] ?? Date.now() % 1_000_000);
const ROUNDS = process.env["LIGHTER_TEST_FULL"] === "1" ? 1_000_000 : 10_000;

/** Numbers below 1 that the seed decides. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}
const query = (name: string, type: number = TYPE.a, extra: Uint8Array = new Uint8Array()): Uint8Array =>
  Buffer.concat([
    Uint8Array.of(1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, extra.length > 0 ? 1 : 0),
    encodeName(name),
    Uint8Array.of(0, type, 0, 1),
    extra,
  ]);

function record(owner: Uint8Array, type: number, ttl: number, data: Uint8Array): Uint8Array {
  const middle = Uint8Array.of(0, type, 0, 1, 0, 0, ttl >> 8, ttl & 255, data.length >> 8, data.length & 255);
  return Buffer.concat([owner, middle, data]);
}

function answer(name: string, records: Uint8Array[]): Uint8Array {
  const head = Uint8Array.of(1, 2, 0x81, 0x80, 0, 1, 0, records.length, 0, 0, 0, 0);
  return Buffer.concat([head, query(name).subarray(12), ...records]);
}

test("addresses by way of other names, in whatever order, and none of strangers", () => {
  const message = answer("WWW.example", [
    record(encodeName("b.cdn"), TYPE.a, 30, Uint8Array.of(192, 0, 2, 1)),
    record(encodeName("a.cdn"), CNAME, 300, encodeName("B.cdn")),
    record(Uint8Array.of(0xc0, 12), CNAME, 20, encodeName("a.cdn")),
    record(encodeName("b.cdn"), TYPE.aaaa, 60, Uint8Array.of(0x20, 1, 0x0d, 0xb8, ...new Uint8Array(11), 1)),
    record(encodeName("stranger"), TYPE.a, 60, Uint8Array.of(192, 0, 2, 66)),
    record(encodeName("b.cdn"), TYPE.a, 60, Uint8Array.of(1, 2, 3)),
  ]);
  expect(addressesOf(message, "www.example")).toEqual([
    { address: "192.0.2.1", ttl: 20 },
    { address: "2001:db8::1", ttl: 20 },
  ]);
  expect(addressesOf(message, "other.example")).toEqual([]);
});

test("names that lead around in circles, or out of the message, are none", () => {
  const message = answer("x", []);
  const at = message.length;
  expect(readName(Buffer.concat([message, Uint8Array.of(0xc0, at)]), at)).toBeUndefined();
  expect(readName(Buffer.concat([message, Uint8Array.of(0xc0, at + 2, 0xc0, at)]), at)).toBeUndefined();
  expect(readName(Buffer.concat([message, Uint8Array.of(0xff, 0xff)]), at)).toBeUndefined();
  expect(readName(Buffer.concat([message, Uint8Array.of(0xc0)]), at)).toBeUndefined();
  expect(readName(Buffer.concat([message, Uint8Array.of(64, ...new Uint8Array(64))]), at)).toBeUndefined();
  expect(readName(Buffer.concat([message, Uint8Array.of(1, 0x61, 0xc0, 12)]), at)).toEqual({ name: "a.x", end: at + 4 });
  expect(addressesOf(answer("x", [record(Uint8Array.of(0xc0, 12), CNAME, 9, encodeName("x"))]), "x")).toEqual([]);
});

test("no message makes the readers fail, or read on for ever", () => {
  const random = randomOf(SEED);
  const whole = answer("www.example", [
    record(Uint8Array.of(0xc0, 12), CNAME, 20, encodeName("a.cdn")),
    record(encodeName("a.cdn"), TYPE.a, 30, Uint8Array.of(192, 0, 2, 1)),
  ]);
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = Uint8Array.from(whole.subarray(0, round % 3 === 0 ? Math.floor(random() * whole.length) : whole.length));
    for (let changes = random() * 6; changes > 0 && bytes.length > 0; changes--)
      bytes[Math.floor(random() * bytes.length)] = random() < 0.3 ? 0xc0 : Math.floor(random() * 256);
    const question = parseQuestion(bytes);
    if (question !== undefined) {
      expect(question.end, `seed ${SEED}`).toBeLessThanOrEqual(bytes.length);
      expect(cutToFit(answerTo(bytes, question, CODE.ok), bytes, question).length).toBeLessThanOrEqual(question.end);
    }
    for (const { address, ttl } of addressesOf(bytes, "www.example") ?? []) {
      expect(address, `seed ${SEED}`).toMatch(/^[0-9a-f.:]+$/);
      expect(ttl).toBeGreaterThanOrEqual(0);
    }
  }
});

test("an answer that does not fit into a datagram is cut between records and marked", () => {
  const records = Array.from({ length: 100 }, (_, index) => ({ type: TYPE.a, data: Uint8Array.of(10, 0, 0, index) }));
  const opt = (size: number): Uint8Array => Uint8Array.of(0, 0, 41, size >> 8, size & 255, 0, 0, 0, 0, 0, 0);
  const cut = (asked: Uint8Array): { length: number; cut: boolean; kept: number } => {
    const question = parseQuestion(asked);
    if (question === undefined) throw new Error("no question");
    const got = cutToFit(answerTo(asked, question, CODE.ok, records), asked, question);
    return { length: got.length, cut: ((got[2] ?? 0) & 2) !== 0, kept: (got[6] ?? 0) * 256 + (got[7] ?? 0) };
  };
  const plain = query("many").length;
  expect(cut(query("many"))).toEqual({ length: plain + 30 * 16, cut: true, kept: 30 });
  expect(cut(query("many", TYPE.a, opt(1232)))).toEqual({ length: plain + 75 * 16, cut: true, kept: 75 });
  expect(cut(query("many", TYPE.a, opt(4096)))).toEqual({ length: plain + 1600, cut: false, kept: 100 });
  expect(cut(query("many", TYPE.a, opt(100)))).toEqual({ length: plain + 30 * 16, cut: true, kept: 30 });
});
