import { expect, test } from "bun:test";
import { fromRfc3339, now, toRfc3339Nano, toSeconds } from "./clock.ts";

test("now never repeats and stays near the wall clock", () => {
  const times = Array.from({ length: 1000 }, now);
  expect(new Set(times).size).toBe(1000);
  expect(times).toEqual(times.toSorted((a, b) => (a < b ? -1 : 1)));
  expect(Math.abs(Number(now() / 1_000_000n) - Date.now())).toBeLessThan(1000);
});

test("now lies within the millisecond of the wall clock, however long it runs", () => {
  const off = Array.from({ length: 20_000 }, () => {
    const before = BigInt(Date.now()) * 1_000_000n;
    const time = now();
    const after = BigInt(Date.now()) * 1_000_000n;
    return time < before || time > after + 2_000_000n;
  });
  expect(off.filter(Boolean)).toEqual([]);
});

test.each([
  [0n, "0001-01-01T00:00:00Z"],
  [1_700_000_000_000_000_000n, "2023-11-14T22:13:20Z"],
  [1_700_000_000_120_000_000n, "2023-11-14T22:13:20.12Z"],
  [1_700_000_000_000_000_001n, "2023-11-14T22:13:20.000000001Z"],
])("%p is written as %s", (time, text) => expect(toRfc3339Nano(time)).toBe(text));

test.each([
  ["2023-11-14T22:13:20.000000001Z", 1_700_000_000_000_000_001n],
  ["2023-11-15T00:13:20.5+02:00", 1_700_000_000_500_000_000n],
  ["2023-11-15T00:13:20.123456789+0200", 1_700_000_000_123_456_789n],
])("%s is read to the nanosecond", (text, time) => expect(fromRfc3339(text)).toBe(time));

test("what is no time is undefined", () =>
  expect([fromRfc3339("yesterday"), fromRfc3339("2023-13-45T99:00:00Z")]).toEqual([undefined, undefined]));

test("seconds are floored, also before the epoch", () => expect([toSeconds(1_999_999_999n), toSeconds(-1n)]).toEqual([1, -1]));
