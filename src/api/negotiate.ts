import { LighterError } from "../base/errors.ts";
import type { ApiVersion } from "./call.ts";

/** The newest API version: 1.56. */
export const NEWEST: ApiVersion = 56;
/** The oldest API version spoken: 1.24. */
export const OLDEST: ApiVersion = 24;

/** Archives of images have not changed since 1.12, and Debian 12's skopeo (`docker-daemon:`) asks for them by 1.22. */
const ARCHIVES = /^\/images\/(get|load|.+\/get)$/;
const OLDEST_ARCHIVES = 12;

/** Splits `/v1.43/containers/json` into version and path; without a version it is the newest. Throws `invalid` with Docker's texts. */
export function negotiate(path: string): { version: ApiVersion; path: string } {
  const [prefix, text, rest] = /^\/v([0-9][0-9A-Za-z.-]*)(\/.*)?$/.exec(path) ?? [];
  if (prefix === undefined || text === undefined) return { version: NEWEST, path };
  // As Docker compares: by its parts, one that is missing or no number counts as 0.
  const [major = 0, minor = 0] = text.split(".").map((part) => (/^\d+$/.test(part) ? Number(part) : 0));
  const order = major === 1 ? minor : major < 1 ? -1 : Infinity;
  if (order >= OLDEST_ARCHIVES && order < OLDEST && ARCHIVES.test(rest ?? "")) return { version: OLDEST, path: rest ?? "/" };
  if (order < OLDEST) {
    throw new LighterError(
      "invalid",
      `client version ${text} is too old. Minimum supported API version is 1.${OLDEST}, please upgrade your client to a newer version`,
    );
  }
  if (order > NEWEST) throw new LighterError("invalid", `client version ${text} is too new. Maximum supported API version is 1.${NEWEST}`);
  return { version: order, path: rest ?? "/" };
}
