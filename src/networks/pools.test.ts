import { expect, test } from "bun:test";
import { parsePoolFlag, parsePools } from "./pools.ts";

test("pools of daemon.json and of the flag", () => {
  const pool = { base: "10.128.0.0/9", size: 24 };
  expect(parsePools([pool, { base: "fd00:7::/48", size: 64 }])).toEqual([pool, { base: "fd00:7::/48", size: 64 }]);
  expect(parsePoolFlag("base=10.128.0.0/9,size=24")).toEqual(pool);
});

test.each([
  [[], "it must be a list"],
  [{ base: "10.0.0.0/8", size: 24 }, "it must be a list"],
  [[{ size: 24 }], 'it needs a "base"'],
  [[{ base: "10.0.0.0", size: 24 }], "invalid CIDR address: 10.0.0.0"],
  [[{ base: "10.0.0.0/8" }], 'it needs a "size" from 8'],
  [[{ base: "10.0.0.0/8", size: 4 }], 'it needs a "size" from 8'],
  [[{ base: "10.0.0.0/8", size: 33 }], "to 32"],
  [[null], 'it needs a "base"'],
])("%j is no list of pools", (value, text) => {
  expect(() => parsePools(value)).toThrow(text);
});

test.each(["base=10.0.0.0/8", "size=24", "base=10.0.0.0/8,size=big", "base=10.0.0.0/8,size=24,more=1", ""])("%p is no pool", (text) => {
  expect(() => parsePoolFlag(text)).toThrow("invalid default address pool");
});
