/** Nanoseconds since the Unix epoch. The only time unit that is stored; everything else is derived when it is shown. */
export type Nanoseconds = bigint;

const NANOS = 1_000_000_000n;
/** `performance.timeOrigin` is fixed at start, so that later steps of the wall clock would go unseen: it is anchored anew when the two drift apart. */
let anchor = anchorNow();

function anchorNow(): { wall: bigint; mono: bigint } {
  return { wall: BigInt(Date.now()) * 1_000_000n, mono: process.hrtime.bigint() };
}

/** The wall-clock time now, with the resolution of the monotonic clock; never the same value twice within a process. */
export function now(): Nanoseconds {
  const elapsed = process.hrtime.bigint() - anchor.mono;
  const time = anchor.wall + elapsed;
  const drift = time - BigInt(Date.now()) * 1_000_000n;
  if (drift > 50_000_000n || drift < -50_000_000n) {
    anchor = anchorNow();
    return (last = anchor.wall);
  }
  return (last = time > last ? time : last + 1n);
}
let last: Nanoseconds = 0n;

/** RFC 3339 with nine digits in UTC, as Docker's API writes times: `2026-11-22T17:59:34.000000000Z` with trailing zeros trimmed as Go does. */
export function toRfc3339Nano(time: Nanoseconds): string {
  if (time === 0n) return ZERO_TIME;
  const seconds = floorDiv(time, NANOS);
  const fraction = (time - seconds * NANOS).toString().padStart(9, "0").replace(/0+$/, "");
  const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return fraction === "" ? `${date}Z` : `${date}.${fraction}Z`;
}

/** Go's zero time, which Docker's API shows for "never". */
export const ZERO_TIME = "0001-01-01T00:00:00Z";

/** Whole seconds since the epoch, as `Created` and `time` fields of the API carry. */
export function toSeconds(time: Nanoseconds): number {
  return Number(floorDiv(time, NANOS));
}

/**
 * Parses an RFC 3339 time with up to nine fractional digits and any offset.
 * Returns undefined for any other text.
 */
export function fromRfc3339(text: string): Nanoseconds | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|[+-]\d\d:?\d\d)$/i.exec(text);
  if (!match) return undefined;
  const [, date, time, fraction = "", zone = "Z"] = match;
  const millis = Date.parse(`${date}T${time}${zone.toUpperCase() === "Z" ? "Z" : zone.replace(/^(.\d\d):?(\d\d)$/, "$1:$2")}`);
  if (Number.isNaN(millis)) return undefined;
  return BigInt(millis) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

function floorDiv(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b < 0n ? quotient - 1n : quotient;
}
