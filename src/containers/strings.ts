import { LighterError } from "../base/errors.ts";

/**
 * Refuses a NUL in any string of a request: the kernel ends a path or an argument there, so that what is checked would not be what is used.
 * Throws `invalid` naming the field.
 */
export function refuseNul(value: unknown, field = ""): void {
  if (typeof value === "string") {
    if (value.includes("\0")) throw new LighterError("invalid", `invalid ${field}: ${JSON.stringify(value)} contains a NUL byte`);
  } else if (Array.isArray(value)) {
    for (const item of value) refuseNul(item, field);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      refuseNul(key, field);
      refuseNul(item, field === "" ? key : `${field}.${key}`);
    }
  }
}
