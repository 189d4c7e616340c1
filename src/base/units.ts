import { LighterError } from "./errors.ts";

const BINARY: Record<string, number> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/**
 * Bytes from a size as docker's flags take it (`64m`, `1.5GiB`, `512`): powers of 1024 whatever the spelling.
 * Throws `invalid` for anything else.
 */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text.trim());
  const factor = BINARY[(match?.[2] ?? "?").toLowerCase()];
  if (!match || factor === undefined) throw new LighterError("invalid", `invalid size: '${text}'`);
  return Math.floor(Number(match[1]) * factor);
}

/** A size in powers of 1000 with four significant digits, as `docker images` prints it: `13.3kB`, `1.24GB`. */
export function formatBytes(bytes: number, digits = 4): string {
  return scaled(bytes, 1000, ["B", "kB", "MB", "GB", "TB", "PB", "EB"], digits);
}

/** A size in powers of 1024 with four significant digits, as `docker stats` prints it: `1.944GiB`. */
export function formatBinaryBytes(bytes: number): string {
  return scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4);
}

function scaled(bytes: number, base: number, names: string[], digits: number): string {
  let value = bytes;
  let index = 0;
  while (value >= base && index < names.length - 1) {
    value /= base;
    index++;
  }
  return `${Number(value.toPrecision(digits))}${names[index]}`;
}

/**
 * How long a span is, in words as Docker prints them: `Less than a second`, `5 seconds`, `About an hour`, `3 weeks`.
 * @param seconds the span, floored to whole seconds
 */
export function humanDuration(seconds: number): string {
  const s = Math.floor(seconds);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.round(seconds / 3600);
  if (s < 1) return "Less than a second";
  if (s === 1) return "1 second";
  if (s < 60) return `${s} seconds`;
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(seconds / 3600 / 24 / 365)} years`;
}

const DURATION_UNITS: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** Nanoseconds from Go's duration syntax (`1h30m`, `1.5s`, `300ms`, `0`). Throws `invalid` for anything else. */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  const match = /^([+-]?)((?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+)$/.exec(text);
  if (!match) throw new LighterError("invalid", `time: invalid duration "${text}"`);
  let total = 0;
  for (const [, value, unit] of (match[2] ?? "").matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(value) * (DURATION_UNITS[unit ?? ""] ?? 0);
  }
  return Math.round(match[1] === "-" ? -total : total);
}
