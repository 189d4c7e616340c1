import { LighterError } from "../base/errors.ts";
import { parseBytes, parseDuration } from "../base/units.ts";
import { checkPin } from "./pins.ts";

/** A fill level: a share of the data root's file system, or bytes that images take. */
export type Watermark = { percent: number } | { bytes: number };

/** What goes when, of images that nothing needs. A rule that is undefined takes nothing. */
export interface GcPolicy {
  /** Above `high`, what was used longest ago goes until `low` is reached. */
  high?: Watermark;
  low?: Watermark;
  /** So many of the newest tags of each repository stay. */
  keepTags?: number;
  /** Nanoseconds. */
  unusedFor?: number;
  /** Nothing that was used within so many nanoseconds goes, whatever the rule. */
  keepRecent: number;
  /** Names of images that stay, with `*` and `?`. */
  pins: readonly string[];
  /** `key` or `key=value`: images with one of these labels stay. */
  pinLabels: readonly string[];
  /** Partial downloads that nobody went on with for so many nanoseconds go. */
  partialsFor: number;
}

/** A policy that also runs by itself, each so many nanoseconds. */
export interface AutomaticGc {
  policy: GcPolicy;
  /** Undefined: only when it is asked for. */
  every: number | undefined;
}

const MINUTE = 60e9;
const DAY = 24 * 60 * MINUTE;

/** Only what has no name goes, and not at once. */
export const CAREFUL: GcPolicy = { keepRecent: 60 * MINUTE, pins: [], pinLabels: [], partialsFor: 7 * DAY };

/** The keys of daemon.json's `gc`, and of a request's body. */
const KEYS: Readonly<Record<string, (value: unknown, key: string) => Partial<GcPolicy>>> = {
  high: (value, key) => ({ high: watermark(value, key) }),
  low: (value, key) => ({ low: watermark(value, key) }),
  "keep-tags": (value, key) => ({ keepTags: count(value, key) }),
  "unused-for": (value, key) => ({ unusedFor: duration(value, key) }),
  "keep-recent": (value, key) => ({ keepRecent: duration(value, key) }),
  "partials-for": (value, key) => ({ partialsFor: duration(value, key) }),
  pins: (value, key) => ({ pins: texts(value, key).map(checkPin) }),
  "pin-labels": (value, key) => ({ pinLabels: texts(value, key) }),
};

/** A policy on top of another one, from JSON. Throws `invalid` for keys and values that make no sense. */
export function parseGcPolicy(json: Record<string, unknown>, base: GcPolicy = CAREFUL): GcPolicy {
  const policy: GcPolicy = { ...base };
  for (const [key, value] of Object.entries(json)) {
    const read = KEYS[key];
    if (read === undefined) throw new LighterError("invalid", `Cannot use the gc policy: unknown key "${key}"`);
    Object.assign(policy, read(value, key));
  }
  // Pins add up.
  policy.pins = [...new Set([...base.pins, ...policy.pins])];
  policy.pinLabels = [...new Set([...base.pinLabels, ...policy.pinLabels])];
  const { high, low } = policy;
  if (low !== undefined && high === undefined) throw new LighterError("invalid", `Cannot use the gc policy: "low" needs "high"`);
  if (high !== undefined && low !== undefined && "percent" in high !== "percent" in low)
    throw new LighterError("invalid", `Cannot use the gc policy: "high" and "low" are not of the same kind`);
  if (high !== undefined && low !== undefined && levelOf(low) > levelOf(high))
    throw new LighterError("invalid", `Cannot use the gc policy: "low" is above "high"`);
  return policy;
}

/** daemon.json's `gc`: a policy, and `every` (default ten minutes) or `enabled: false`. */
export function parseAutomaticGc(json: unknown): AutomaticGc {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw wrong("gc", "an object");
  const { enabled = true, every = "10m", ...rest } = json as Record<string, unknown>;
  if (typeof enabled !== "boolean") throw wrong("enabled", "true or false");
  const pause = duration(every, "every");
  if (pause < 1e9) throw wrong("every", "at least one second");
  return { policy: parseGcPolicy(rest), every: enabled ? pause : undefined };
}

/** Percents, or bytes. */
export function levelOf(mark: Watermark): number {
  return "percent" in mark ? mark.percent : mark.bytes;
}

function watermark(value: unknown, key: string): Watermark {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(String(value))?.[1];
  if (percent !== undefined && Number(percent) <= 100) return { percent: Number(percent) };
  if (typeof value === "number" && value >= 0) return { bytes: value };
  if (typeof value !== "string" || percent !== undefined) throw wrong(key, 'a share ("85%") or a size ("50GB")');
  return { bytes: read(() => parseBytes(value), key, 'a share ("85%") or a size ("50GB")') };
}

function count(value: unknown, key: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1) throw wrong(key, "a number from 1 on");
  return number;
}

/** Nanoseconds; `30d` and `2w`, too. */
function duration(value: unknown, key: string): number {
  if (typeof value !== "string") throw wrong(key, 'a duration ("720h", "30d")');
  const [, number, unit] = /^(\d+(?:\.\d+)?)([dw])$/.exec(value) ?? [];
  const plain = (): number => read(() => parseDuration(value), key, 'a duration ("720h", "30d")');
  const nanoseconds = number === undefined ? plain() : Number(number) * DAY * (unit === "w" ? 7 : 1);
  if (nanoseconds < 0) throw wrong(key, "a duration that is not negative");
  return nanoseconds;
}

function read<T>(parse: () => T, key: string, expected: string): T {
  try {
    return parse();
  } catch {
    throw wrong(key, expected);
  }
}

function texts(value: unknown, key: string): string[] {
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
  throw wrong(key, "a list of texts");
}

function wrong(key: string, expected: string): LighterError {
  return new LighterError("invalid", `Cannot use the gc policy: "${key}" is not ${expected}`);
}
