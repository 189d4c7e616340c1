import { type Nanoseconds, now } from "./clock.ts";
import { LighterError } from "./errors.ts";
import { parseDuration } from "./units.ts";

const NANOS = 1_000_000_000n;
const DATE = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?)?)?(Z|[+-]\d\d:\d\d)?$/i;

/**
 * A moment as filters (`until`) name it: seconds since the epoch with or without a fraction, a span before now (`24h`), or a date with or without time and zone;
 * without a zone the machine's own is meant. Throws `invalid` in Docker's words.
 */
export function momentOf(text: string, present: Nanoseconds = now()): Nanoseconds {
  const [, seconds, fraction = ""] = /^(\d{1,15})(?:\.(\d{1,9})\d*)?$/.exec(text) ?? [];
  if (seconds !== undefined) return BigInt(seconds) * NANOS + BigInt(fraction.padEnd(9, "0"));
  const span = spanOf(text);
  if (span !== undefined) return present - span;
  const moment = dateOf(text);
  if (moment !== undefined) return moment;
  throw new LighterError("invalid", `failed to parse value as time or duration: ${JSON.stringify(text)}`);
}

function spanOf(text: string): bigint | undefined {
  try {
    return BigInt(parseDuration(text));
  } catch {
    return undefined;
  }
}

function dateOf(text: string): Nanoseconds | undefined {
  const [, day, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = DATE.exec(text) ?? [];
  if (day === undefined) return undefined;
  const moment = Date.parse(`${day}T${hour}:${minute}:${second}${zone.toUpperCase()}`);
  return Number.isNaN(moment) ? undefined : BigInt(moment) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}
