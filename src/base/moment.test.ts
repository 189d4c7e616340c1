import { expect, test } from "bun:test";
import { momentOf } from "./moment.ts";

const PRESENT = 1_700_000_000_000_000_005n;
const local = (text: string): bigint => BigInt(new Date(text).getTime()) * 1_000_000n;

test.each([
  ["1136073600", 1_136_073_600_000_000_000n],
  ["1136073600.5", 1_136_073_600_500_000_000n],
  ["1136073600.123456789", 1_136_073_600_123_456_789n],
  ["24h", PRESENT - 86_400_000_000_000n],
  ["1h30m", PRESENT - 5_400_000_000_000n],
  ["-1h", PRESENT + 3_600_000_000_000n],
  ["0s", PRESENT],
  ["2006-01-02T15:04:05Z", 1_136_214_245_000_000_000n],
  ["2006-01-02T15:04:05.999999999+07:00", 1_136_189_045_999_999_999n],
  ["2006-01-02Z", 1_136_160_000_000_000_000n],
  ["2006-01-02", local("2006-01-02T00:00:00")],
  ["2006-01-02T15", local("2006-01-02T15:00:00")],
  ["2006-01-02T15:04", local("2006-01-02T15:04:00")],
  ["2006-01-02T15:04:05.25", local("2006-01-02T15:04:05") + 250_000_000n],
])("%s is a moment", (text, moment) => expect(momentOf(text, PRESENT)).toBe(moment));

test.each(["", "foo", "1d", "2006-01", "2006-13-45", "15:04", "1h x"])("%p is none", (text) =>
  expect(() => momentOf(text)).toThrow(`failed to parse value as time or duration: ${JSON.stringify(text)}`),
);
