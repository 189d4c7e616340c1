import { LighterError } from "../base/errors.ts";
import type { Nanoseconds } from "../base/clock.ts";
import { latin1 } from "./tar-header.ts";
import type { ByteString } from "./tar-entry.ts";

/** A record of a PAX extended header: `length key=value\n`. The same key may come again (GNU's sparse maps do that). */
export interface PaxRecord {
  key: ByteString;
  value: Uint8Array;
}

/** Extended attributes carry their names behind this; the value is binary. */
export const PAX_XATTR = "SCHILY.xattr.";

/** Takes an extended header apart. Throws `invalid`. https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13_03 */
export function parsePax(data: Uint8Array): PaxRecord[] {
  const records: PaxRecord[] = [];
  let at = 0;
  while (at < data.length) {
    // Some writers fill the block up with zeros.
    if (data[at] === 0) break;
    const space = data.indexOf(0x20, at);
    const length = space < 0 || space - at > 15 ? Number.NaN : Number(latin1(data, at, space));
    const end = at + length;
    const equals = data.indexOf(0x3d, space);
    if (!Number.isSafeInteger(length) || end > data.length || equals < 0 || equals >= end || end <= space || data[end - 1] !== 0x0a)
      throw new LighterError("invalid", "Cannot read the tar archive: an extended header has a malformed record");
    records.push({ key: latin1(data, space + 1, equals), value: data.slice(equals + 1, end - 1) });
    at = end;
  }
  return records;
}

/** One record; its length counts itself. */
export function encodePaxRecord(key: ByteString, value: Uint8Array): Uint8Array {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`, "latin1"), value, Buffer.from("\n")]);
}

/** A time of PAX: at most 18 decimal digits of seconds since the epoch with any number of fractional ones, perhaps negative. Throws `invalid`. */
export function parsePaxTime(text: string): Nanoseconds {
  const match = /^(-?)(\d{1,18})(?:\.(\d*))?$/.exec(text);
  if (!match) throw new LighterError("invalid", `Cannot read the tar archive: "${text.slice(0, 40)}" is not a time`);
  const [, sign, seconds = "0", fraction = ""] = match;
  const value = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -value : value;
}

/** The shortest decimal form of a time. */
export function formatPaxTime(time: Nanoseconds): string {
  const size = time < 0n ? -time : time;
  const fraction = (size % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "");
  return `${time < 0n ? "-" : ""}${size / 1_000_000_000n}${fraction === "" ? "" : `.${fraction}`}`;
}

/** A whole number of PAX. Throws `invalid`. */
export function parsePaxNumber(key: string, text: string): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new LighterError("invalid", `Cannot read the tar archive: "${key}" of an extended header is "${text.slice(0, 40)}"`);
  return value;
}
