import { expect, test } from "bun:test";
import { AND, type Instruction, JUMP, LOAD, RETURN, decode, encode, interpret } from "./bpf-filter.ts";
import { shrinkFilter } from "./bpf-shrink.ts";

const X86_64 = 0xc000003e;
const AARCH64 = 0xc00000b7;
const op = (code: number, k: number, jt = 0, jf = 0): Instruction => ({ code, jt, jf, k });

/** A filter by the list, as libseccomp writes it without a tree: one comparison and one answer for each number. */
function listed(architecture: number, answers: Map<number, number>, otherwise: number): Instruction[] {
  const list = [...answers].flatMap(([number, value]) => [op(0x15, number, 0, 1), op(RETURN, value)]);
  return [op(LOAD, 4), op(0x15, architecture, 1, 0), op(RETURN, 0), op(LOAD, 0), ...list, op(RETURN, otherwise)];
}

const call =
  (number: number, architecture: number, low = 0, high = 0) =>
  (offset: number): number =>
    offset === 0 ? number : offset === 4 ? architecture : offset % 8 === 0 ? low : high;

test("a list of random answers: every number gets the same, in fewer instructions", () => {
  let seed = 7;
  const random = (limit: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % limit;
  const answers = new Map([...Array(400).keys()].map((number) => [number, random(5) === 0 ? 0x50001 : 0x7fff0000]));
  const source = listed(X86_64, answers, 0x50026);
  const shrunk = decode(shrinkFilter(encode(source)));
  expect(shrunk.length).toBeLessThan(source.length / 2);
  for (const architecture of [X86_64, AARCH64])
    for (const number of [...Array(450).keys(), 0x40000000, 0xffffffff])
      expect(interpret(shrunk, call(number, architecture))).toBe(interpret(source, call(number, architecture)));
});

test("many different answers and long jumps", () => {
  const answers = new Map([...Array(900).keys()].map((number) => [number * 3, 0x50000 + number]));
  const source = listed(AARCH64, answers, 0);
  const shrunk = decode(shrinkFilter(encode(source)));
  for (let number = 0; number < 2710; number++)
    expect(interpret(shrunk, call(number, AARCH64))).toBe(interpret(source, call(number, AARCH64)));
});

test("arguments are still looked at", () => {
  const rest = listed(X86_64, new Map([...Array(100).keys()].map((number) => [number + 60, 0x7fff0000])), 0x50001).slice(4);
  const source = [
    op(LOAD, 4),
    op(0x15, X86_64, 1, 0),
    op(RETURN, 0),
    op(LOAD, 0),
    op(0x15, 56, 0, 6),
    op(LOAD, 20),
    op(AND, 0),
    op(0x15, 0, 0, 2),
    op(LOAD, 16),
    op(AND, 0x7e020000),
    op(0x15, 0, 1, 0),
    op(JUMP, 1),
    op(RETURN, 0x7fff0000),
    op(LOAD, 0),
    ...rest,
  ];
  const shrunk = decode(shrinkFilter(encode(source)));
  expect(shrunk.length).toBeLessThan(source.length);
  for (const number of [55, 56, 57, 60, 159, 160])
    for (const low of [0, 1, 0x20000, 0x10000000, 0x7e020000, 0x00011])
      for (const high of [0, 1])
        expect(interpret(shrunk, call(number, X86_64, low, high))).toBe(interpret(source, call(number, X86_64, low, high)));
});

test("what is not understood stays as it is", () => {
  const computed = encode([op(LOAD, 0), op(AND, 3), op(0x15, 1, 0, 1), op(RETURN, 1), op(RETURN, 2)]);
  expect(shrinkFilter(computed)).toEqual(computed);
  const unknown = encode([op(0x07, 0), op(RETURN, 1)]);
  expect(shrinkFilter(unknown)).toEqual(unknown);
  const runaway = encode([op(LOAD, 0), op(0x15, 1, 0, 9), op(RETURN, 1)]);
  expect(shrinkFilter(runaway)).toEqual(runaway);
});
