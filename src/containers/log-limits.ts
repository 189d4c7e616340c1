import { LighterError } from "../base/errors.ts";
import type { HostConfig } from "../wire/engine-api.ts";

/** How much of a container's output is kept. */
export interface LogLimits {
  /** Bytes at which a file is rotated; Infinity for no bound. */
  maxSize: number;
  /** Files in all, with the one that is written. */
  maxFiles: number;
  /** Whether files that were rotated away are compressed. */
  compress: boolean;
}

/** What is kept where the user says nothing: five files of 20 MB, the old ones compressed. */
const MAX_SIZE = 20_000_000;
const MAX_FILES = 5;

/** Sizes of log options are decimal in Docker, other than those of memory. https://docs.docker.com/engine/logging/drivers/json-file/ */
const FACTORS: Record<string, number> = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12, p: 1e15 };

/**
 * The bounds that a container's log options ask for. `max-size` alone means one file with `json-file` and five with the others, as in Docker; a
 * `max-size` of -1 means no bound with `json-file`. Drivers that send the log away bound their spool by `cache-max-size` and its like.
 * Throws `invalid` with Docker's texts for values that mean nothing.
 */
export function logLimits(logging: HostConfig["LogConfig"]): LogLimits {
  const config = logging?.Config ?? {};
  const driver = logging?.Type ?? "json-file";
  const prefix = driver === "json-file" || driver === "local" ? "" : "cache-";
  const { [`${prefix}max-size`]: size, [`${prefix}max-file`]: files, [`${prefix}compress`]: compress } = config;
  if (driver === "json-file") {
    const maxFiles = files === undefined ? (size === undefined ? MAX_FILES : 1) : filesOf(files);
    const limits = { maxSize: size === undefined ? MAX_SIZE : jsonSizeOf(size), maxFiles, compress: packs(compress) ?? true };
    // Docker has no bound to start with, so that a size must be given there; here there is one.
    if (packs(compress) === true && (limits.maxFiles < 2 || limits.maxSize === Infinity))
      throw invalid("compress cannot be true when max-file is less than 2 or max-size is not set");
    return { ...limits, compress: limits.compress && limits.maxFiles > 1 };
  }
  const limits = {
    maxSize: size === undefined ? MAX_SIZE : within(`invalid value for max-size: ${size}: `, () => sizeOf(size)),
    maxFiles: files === undefined ? MAX_FILES : within(`invalid value for max-file: ${files}: `, () => numberOf(files)),
    compress: within("error reading compress log option: ", () => packs(compress)) ?? true,
  };
  if (limits.maxSize <= 0) throw invalid("max size must be a positive number");
  if (limits.maxFiles < 1) throw invalid("max file count must be greater than 0");
  if (limits.compress && limits.maxFiles === 1) throw invalid("compression cannot be enabled when max file count is 1");
  return limits;
}

function jsonSizeOf(text: string): number {
  if (text === "-1" || text === "unlimited") return Infinity;
  const bytes = sizeOf(text);
  if (bytes <= 0) throw invalid("max-size must be a positive number");
  return bytes;
}

function sizeOf(text: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(digits) * (FACTORS[unit.toLowerCase()] ?? NaN));
  if (Number.isNaN(bytes)) throw invalid(`invalid size: '${text}'`);
  return bytes;
}

function filesOf(text: string): number {
  const files = numberOf(text);
  if (files < 1) throw invalid("max-file cannot be less than 1");
  return files;
}

function numberOf(text: string): number {
  if (!/^[+-]?\d{1,9}$/.test(text)) throw invalid(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

function packs(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw invalid(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** Says which option is wrong before why. */
function within<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw invalid(`${what}${(error as Error).message}`);
  }
}

function invalid(text: string): LighterError {
  return new LighterError("invalid", text);
}
