import { expect, test } from "bun:test";
import { DnsCache } from "./dns-cache.ts";
import { CODE, TYPE, answerTo, encodeName, parseQuestion } from "./dns-message.ts";

function queryFor(name: string, id = 1): Uint8Array {
  const head = new Uint8Array(12);
  const view = new DataView(head.buffer);
  view.setUint16(0, id);
  view.setUint16(2, 0x0100);
  view.setUint16(4, 1);
  return Buffer.concat([head, encodeName(name), Uint8Array.of(0, TYPE.a, 0, 1)]);
}

const SERVERS = ["192.0.2.1"];
let time = 0;
let asked = 0;
let code: number = CODE.ok;

async function forward(query: Uint8Array): Promise<Uint8Array> {
  asked++;
  const records = code === CODE.ok ? [{ type: TYPE.a, data: Uint8Array.of(198, 51, 100, asked) }] : [];
  return answerTo(query, parseQuestion(query), code, records);
}

function fresh(): DnsCache {
  [time, asked, code] = [0, 0, CODE.ok];
  return new DnsCache(() => time);
}

/** The TTL and the last byte of an answer's first and only record. */
const record = (answer: Uint8Array | undefined): number[] => {
  const bytes = answer ?? new Uint8Array();
  return [new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 10), bytes.at(-1) ?? 0];
};

test("a kept answer has the number of the new query and what is left of its TTL, until a server has to be asked again", async () => {
  const cache = fresh();
  const first = await cache.answer(queryFor("a.example", 1), SERVERS, forward);
  expect(record(first)).toEqual([600, 1]);
  time = 90_000;
  const second = await cache.answer(queryFor("a.example", 0x0203), SERVERS, forward);
  expect([...(second ?? []).slice(0, 2)]).toEqual([2, 3]);
  expect(record(second)).toEqual([510, 1]);
  time = 300_000;
  expect(record(await cache.answer(queryFor("a.example"), SERVERS, forward))).toEqual([600, 2]);
  expect(asked).toBe(2);
});

test("other names, other servers and other spellings are other questions", async () => {
  const cache = fresh();
  await cache.answer(queryFor("a.example"), SERVERS, forward);
  await cache.answer(queryFor("b.example"), SERVERS, forward);
  await cache.answer(queryFor("a.example"), ["192.0.2.2"], forward);
  await cache.answer(queryFor("A.example"), SERVERS, forward);
  expect(asked).toBe(4);
});

test("failures, cut answers, answers without records and garbage are not kept", async () => {
  const cache = fresh();
  code = CODE.failed;
  await cache.answer(queryFor("a.example"), SERVERS, forward);
  code = CODE.unknown;
  await cache.answer(queryFor("a.example"), SERVERS, forward);
  code = CODE.ok;
  const cut = async (query: Uint8Array): Promise<Uint8Array> => {
    const answer = await forward(query);
    answer[2] = (answer[2] ?? 0) | 2;
    return answer;
  };
  const garbage = async (query: Uint8Array): Promise<Uint8Array> => (await forward(query)).subarray(0, -3);
  for (const way of [cut, garbage]) for (let n = 0; n < 2; n++) await cache.answer(queryFor("a.example"), SERVERS, way);
  expect(asked).toBe(6);
  await cache.answer(queryFor("a.example"), SERVERS, async () => undefined);
  await cache.answer(queryFor("a.example"), SERVERS, forward);
  expect(asked).toBe(7);
});

test("it does not grow without end", async () => {
  const cache = fresh();
  for (let n = 0; n < 5000; n++) await cache.answer(queryFor(`n${n}.example`), SERVERS, forward);
  await cache.answer(queryFor("n4999.example"), SERVERS, forward);
  expect(asked).toBe(5000);
  await cache.answer(queryFor("n0.example"), SERVERS, forward);
  expect(asked).toBe(5001);
});
