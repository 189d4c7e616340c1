import { LighterError } from "../base/errors.ts";

/** That a key of daemon.json has a value which it cannot have. */
export function wrongValue(key: string, wanted: string): LighterError {
  return new LighterError("invalid", `Cannot use "${key}": it must be ${wanted}`);
}

/** A key's value that is a list of strings; throws `invalid`. */
export function texts(key: string, value: unknown): string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) throw wrongValue(key, "a list of strings");
  return value;
}

/** Whether a value is an object as JSON has them. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
