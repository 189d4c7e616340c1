/** What `tools/build.ts` defines in the executable; absent when the sources run directly. */
declare const LIGHTER_BUILD: BuildInfo | undefined;

/** Which sources a running `lighter` was made from: version, git commit (40 hex digits or `unknown`) and build time (RFC 3339). */
export interface BuildInfo {
  version: string;
  commit: string;
  time: string;
}

/** The build information of this process; a run from source says `development` and the time of the epoch. */
export function buildInfo(): BuildInfo {
  if (typeof LIGHTER_BUILD !== "undefined") return LIGHTER_BUILD;
  return { version: "0.1.0", commit: "development", time: "1970-01-01T00:00:00Z" };
}
