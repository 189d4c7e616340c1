import { expect, test } from "bun:test";
import { CODE, TYPE, answerTo, encodeName, parseQuestion } from "./dns-message.ts";
import { answers, forwardUdp } from "./forward-dns.ts";

function queryFor(name: string, number: number): Uint8Array {
  const head = Uint8Array.of(number >> 8, number & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0);
  return Buffer.concat([head, encodeName(name), Uint8Array.of(0, TYPE.a, 0, 1)]);
}

const reply = (query: Uint8Array, code: number = CODE.ok): Uint8Array => answerTo(query, parseQuestion(query), code);

test("an answer has the number and the question of what was asked", () => {
  const asked = queryFor("a.example", 0x1234);
  expect(answers(reply(asked), asked)).toBe(true);
  expect(answers(reply(queryFor("A.Example", 0x1234)), asked)).toBe(true);
  expect(answers(reply(queryFor("a.example", 0x1235)), asked)).toBe(false);
  expect(answers(reply(queryFor("b.example", 0x1234)), asked)).toBe(false);
  expect(answers(asked, asked)).toBe(false);
  expect(answers(reply(asked).subarray(0, 11), asked)).toBe(false);
});

test("a refusal may leave the question out, an answer may not", () => {
  const asked = queryFor("a.example", 1);
  expect(answers(answerTo(asked, undefined, CODE.malformed), asked)).toBe(true);
  expect(answers(answerTo(asked, undefined, CODE.ok), asked)).toBe(false);
});

test("a server that there is no way to is one that does not answer", async () => {
  // An address of a link that is not named.
  expect(await forwardUdp(queryFor("a.example", 1), ["fe80::1"])).toBeUndefined();
});
