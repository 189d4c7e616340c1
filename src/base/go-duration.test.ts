import { expect, test } from "bun:test";
import { goDuration } from "./go-duration.ts";

test("as Go prints spans", () => {
  const seconds = 1e9;
  expect([0, 5, 1500, 7e8, seconds, 1.5 * seconds, 90 * seconds, 3600 * seconds, 3661.5 * seconds].map(goDuration)).toEqual([
    "0s",
    "5ns",
    "1.5µs",
    "700ms",
    "1s",
    "1.5s",
    "1m30s",
    "1h0m0s",
    "1h1m1.5s",
  ]);
});
