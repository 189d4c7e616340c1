import { expect, test } from "bun:test";
import { formatBytes, humanDuration, parseBytes, parseDuration } from "./units.ts";

test.each([
  ["64m", 67108864],
  ["1g", 1073741824],
  ["1.5GiB", 1610612736],
  ["512", 512],
  ["32kb", 32768],
  ["10 B", 10],
])("%s is %d bytes", (text, bytes) => expect(parseBytes(text)).toBe(bytes));

test.each(["", "m", "-1", "1x", "1mm"])("%j is no size", (text) => expect(() => parseBytes(text)).toThrow(`invalid size: '${text}'`));

test.each([
  [0, "0B"],
  [13256, "13.26kB"],
  [1_240_000_000, "1.24GB"],
  [999, "999B"],
])("%d bytes are shown as %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [0.4, "Less than a second"],
  [1, "1 second"],
  [59, "59 seconds"],
  [60, "About a minute"],
  [150, "2 minutes"],
  [3600, "About an hour"],
  [7200, "2 hours"],
  [3 * 86400, "3 days"],
  [20 * 86400, "2 weeks"],
  [100 * 86400, "3 months"],
  [800 * 86400, "2 years"],
])("%d seconds are %s", (seconds, text) => expect(humanDuration(seconds)).toBe(text));

test.each([
  ["1h30m", 5400e9],
  ["1.5s", 1.5e9],
  ["300ms", 3e8],
  ["0", 0],
  ["-2s", -2e9],
])("%s is %d ns", (text, nanoseconds) => expect(parseDuration(text)).toBe(nanoseconds));

test("a duration without a unit is refused", () => expect(() => parseDuration("5")).toThrow('time: invalid duration "5"'));
