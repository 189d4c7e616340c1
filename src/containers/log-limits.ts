import { LighterError } from "../base/errors.ts";
import type { HostConfig } from "../wire/engine-api.ts";

/** How much of a container's output is kept. */
export interface LogLimits {
  /** Bytes at which a file is rotated; Infinity for no bound. */
  maxSize: number;
  /** Files in all, with the one that is written. */
  maxFiles: number;
}

/** What is kept where the user says nothing: five files of 20 MB. */
const DEFAULT: LogLimits = { maxSize: 20_000_000, maxFiles: 5 };

/** Sizes of log options are decimal in Docker, other than those of memory. https://docs.docker.com/engine/logging/drivers/json-file/ */
const FACTORS: Record<string, number> = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12, p: 1e15 };

/**
 * The bounds that a container's log options ask for. `max-size` alone means one file with `json-file` and five with `local`, as in Docker;
 * `-1` or `unlimited` means no bound. Throws `invalid` for values that mean nothing.
 */
export function logLimits(logging: HostConfig["LogConfig"]): LogLimits {
  const { "max-size": size, "max-file": files } = logging?.Config ?? {};
  const alone = size === undefined || logging?.Type !== "json-file" ? DEFAULT.maxFiles : 1;
  return {
    maxSize: size === undefined ? DEFAULT.maxSize : sizeOf(size),
    maxFiles: files === undefined ? alone : filesOf(files),
  };
}

function sizeOf(text: string): number {
  if (text === "-1" || text === "unlimited") return Infinity;
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(digits) * (FACTORS[unit.toLowerCase()] ?? NaN));
  if (Number.isNaN(bytes)) throw new LighterError("invalid", `invalid size: '${text}'`);
  if (bytes <= 0) throw new LighterError("invalid", "max-size must be a positive number");
  return bytes;
}

function filesOf(text: string): number {
  if (!/^[+-]?\d{1,9}$/.test(text)) throw new LighterError("invalid", `invalid log opt max-file: '${text}' is no number`);
  if (Number(text) < 1) throw new LighterError("invalid", "max-file cannot be less than 1");
  return Number(text);
}
