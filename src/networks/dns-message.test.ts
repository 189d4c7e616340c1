import { expect, test } from "bun:test";
import { CODE, TYPE, answerTo, encodeName, parseQuestion, reverseAddress } from "./dns-message.ts";
import { framed, unframed } from "./forward-dns.ts";

const query = (name: string, type: number): Uint8Array =>
  Buffer.concat([Uint8Array.of(0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0), encodeName(name), Uint8Array.of(0, type, 0, 1)]);

test("a question is read, and answered with its own words", () => {
  const asked = query("DB.Example", TYPE.a);
  const question = parseQuestion(asked);
  expect(question).toEqual({ name: "db.example", type: TYPE.a, end: asked.length });
  const answer = answerTo(asked, question, CODE.ok, [{ type: TYPE.a, data: Uint8Array.of(10, 0, 0, 7) }]);
  expect([...answer.subarray(0, 12)]).toEqual([0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
  expect([...answer.subarray(asked.length)]).toEqual([0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4, 10, 0, 0, 7]);
  expect((answerTo(asked, question, CODE.unknown)[3] ?? 0) & 15).toBe(3);
});

test("what is no question is refused, whatever the bytes", () => {
  const asked = query("a.b", TYPE.a);
  for (let length = 0; length < asked.length; length++) expect(parseQuestion(asked.subarray(0, length))).toBeUndefined();
  const pointer = Uint8Array.from(asked);
  pointer[12] = 0xc0;
  expect(parseQuestion(pointer)).toBeUndefined();
  const answer = Uint8Array.from(asked);
  answer[2] = 0x81;
  expect(parseQuestion(answer)).toBeUndefined();
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (): number => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 8;
  for (let round = 0; round < 3000; round++) {
    const bytes = Uint8Array.from({ length: random() % 300 }, random);
    if (round % 2 === 0) bytes.set(asked.subarray(0, Math.min(12, bytes.length)));
    const question = parseQuestion(bytes);
    if (question !== undefined) expect(question.end, `seed ${seed}`).toBeLessThanOrEqual(bytes.length);
    expect(answerTo(Buffer.concat([bytes, new Uint8Array(12)]), undefined, CODE.malformed)).toHaveLength(12);
  }
});

test("names that ask for an address's owner", () => {
  expect(reverseAddress("2.0.17.172.in-addr.arpa")).toBe("172.17.0.2");
  expect(reverseAddress(`${"1.".padEnd(32 * 2, "0.")}ip6.arpa`)).toBe("0000:0000:0000:0000:0000:0000:0000:0001");
  expect(reverseAddress("web.in-addr.arpa")).toBeUndefined();
});

test("messages on a stream", () => {
  const both = Buffer.concat([framed(Uint8Array.of(1, 2, 3)), framed(Uint8Array.of(4)), Uint8Array.of(0)]);
  const [first, rest] = unframed(both);
  const [second, last] = unframed(rest);
  expect([[...(first ?? [])], [...(second ?? [])], [...last]]).toEqual([[1, 2, 3], [4], [0]]);
  expect(unframed(last)[0]).toBeUndefined();
});
