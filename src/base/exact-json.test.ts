import { expect, test } from "bun:test";
import { exactly, parseExactly, type RawNumber } from "./exact-json.ts";

test("whole numbers past 2^53 are kept to the last digit, through parsing and writing", () => {
  const text = '{"a":18446744073709551615,"b":9007199254740993,"c":[9007199254740991,1.5,"18446744073709551615"]}';
  const parsed = parseExactly(text) as { a: RawNumber; b: RawNumber; c: unknown[] };
  expect(exactly(parsed.a)).toBe(18446744073709551615n);
  expect(exactly(parsed.b)).toBe(9007199254740993n);
  expect(parsed.c).toEqual([9007199254740991, 1.5, "18446744073709551615"]);
  expect(JSON.stringify(parsed)).toBe(text);
});

test("what is no JSON is refused with or without long numbers", () => {
  expect(() => parseExactly("{")).toThrow(SyntaxError);
  expect(() => parseExactly("{ 18446744073709551615")).toThrow(SyntaxError);
});
