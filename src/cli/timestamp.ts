import { LighterError } from "../base/errors.ts";
import { parseDuration } from "../base/units.ts";

/**
 * A time as `--since` and `--until` take it, as the API wants it (seconds and nanoseconds since the epoch): a Unix time, a
 * span before now (`10m`), or a date with or without time and zone. Empty stays empty. Throws `invalid`, naming the flag, for anything else.
 */
export function timestampOf(flag: string, text: string, now: Date): string {
  if (text === "" || /^\d+(\.\d{1,9})?$/.test(text)) return text;
  const span = spanOf(text);
  if (span !== undefined) return seconds(now.getTime() * 1e6 - span);
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(\.\d+)?)?)?)?(Z|[+-]\d\d:?\d\d)?$/.exec(text);
  if (!match)
    throw new LighterError("invalid", `invalid value for "${flag}": failed to parse value as time or duration: ${JSON.stringify(text)}`);
  const [, day = "", hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
  // Without a zone the user's own is meant.
  const moment = new Date(`${day}T${hour}:${minute}:${second}${zone}`).getTime();
  return `${Math.floor(moment / 1000)}.${fraction.slice(1, 10).padEnd(9, "0")}`;
}

function spanOf(text: string): number | undefined {
  try {
    return parseDuration(text);
  } catch {
    return undefined;
  }
}

function seconds(nanos: number): string {
  const whole = Math.floor(nanos / 1e9);
  return `${whole}.${String(Math.floor(nanos - whole * 1e9)).padStart(9, "0")}`;
}
