import { kindOf, LighterError, messageOf, type ErrorKind } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Answer } from "./call.ts";

const STATUS: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  conflict: 409,
  "not-modified": 304,
  "too-many": 429,
  unsupported: 501,
  // A registry that cannot be reached: the API's definition knows 500 for it. 503 is the answer of a node outside of a swarm (absent.ts).
  unavailable: 500,
  "no-space": 500,
  cancelled: 499,
  runtime: 400,
  internal: 500,
};

/** The one place where errors become status codes: whatever was thrown, as Docker's `{"message": ...}`. Unexpected ones are logged with their stack. */
export function errorAnswer(error: unknown): Answer {
  const status = error instanceof LighterError ? STATUS[error.kind] : statusOfForeign(error);
  if (status === 500)
    logOf("api").error("{message}", { message: messageOf(error), stack: error instanceof Error ? error.stack : undefined });
  if (status === 304) return { status };
  return { status, json: { message: messageOf(error) } };
}

/** A system error's code mostly says too little about whose fault it is. */
function statusOfForeign(error: unknown): number {
  const kind = kindOf(error);
  return kind === "cancelled" || kind === "invalid" ? STATUS[kind] : STATUS.internal;
}
