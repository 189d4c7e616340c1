/** Nanoseconds since the Unix epoch. The only time unit that is stored; everything else is derived when it is shown. */
export type Nanoseconds = bigint;

const NANOS = 1_000_000_000n;
const MILLISECOND = 1_000_000n;
/** The wall clock was set back when it shows less than the last answer by more than this. */
const STEP = 50n * MILLISECOND;
/** Where the wall clock stood by the monotonic one. `performance.timeOrigin` is fixed at start, and would not see later steps. */
let anchor = { wall: 0n, mono: 0n };
let last: Nanoseconds = 0n;

/**
 * The wall-clock time now: within the millisecond that `Date.now()` shows, finer by the monotonic clock; never the same value twice within a process,
 * and never less than before unless the clock was set back.
 */
export function now(): Nanoseconds {
  const wall = BigInt(Date.now()) * MILLISECOND;
  const mono = process.hrtime.bigint();
  let time = anchor.wall + mono - anchor.mono;
  if (time < wall || time >= wall + MILLISECOND) {
    anchor = { wall, mono };
    time = wall;
  }
  const setBack = time < last - STEP;
  return (last = setBack || time > last ? time : last + 1n);
}

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
