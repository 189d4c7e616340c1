import { kindOf, LighterError } from "../base/errors.ts";

/** A full disk as what it is; other errors as they are. */
export function spaced(error: unknown, act: string): unknown {
  return kindOf(error) === "no-space" ? new LighterError("no-space", `${act}: no space left on device`, { cause: error }) : error;
}
