import { LighterError, type ErrorKind } from "../base/errors.ts";

const KINDS: Record<number, ErrorKind> = {
  304: "not-modified",
  400: "invalid",
  401: "unauthorized",
  403: "forbidden",
  404: "not-found",
  409: "conflict",
  429: "too-many",
  501: "unsupported",
  503: "unavailable",
};

/** What stands before every sentence that a daemon answered with; clients of docker's output match on it. */
export const FROM_DAEMON = "Error response from daemon: ";

/** The error that a daemon's answer (status 400 and above) means; its `cause` is the status. */
export function errorOf(status: number, body: string, where: string): LighterError {
  return new LighterError(KINDS[status] ?? "internal", `${FROM_DAEMON}${sentence(status, body, where)}`, { cause: status });
}

function sentence(status: number, body: string, where: string): string {
  if (body.trim() === "")
    return `request returned ${status} for API route and version ${where}, check if the server supports the requested API version`;
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === "object" && parsed !== null && "message" in parsed && typeof parsed.message === "string")
      return parsed.message.trim();
  } catch {
    // Not JSON: old daemons and proxies answer with plain text.
  }
  return body.trim();
}

/** The newest version that a daemon takes, from the answer by which it refuses a newer one; undefined for any other answer. */
export function newestTaken(status: number, body: string): string | undefined {
  if (status !== 400) return undefined;
  return /client version [\d.]+ is too new. Maximum supported API version is (\d+\.\d+)/.exec(body)?.[1];
}
