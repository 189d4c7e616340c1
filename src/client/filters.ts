import { LighterError } from "../base/errors.ts";

/** Filters as the Engine API takes them: each key with its values. */
export type Filters = Record<string, string[]>;

/** `--filter key=value` flags as the API's JSON; undefined when there are none. Throws `invalid` for one without `=`. */
export function parseFilters(flags: readonly string[]): Filters | undefined {
  const filters: Filters = {};
  for (const flag of flags) {
    const at = flag.indexOf("=");
    if (at < 0) throw new LighterError("invalid", "invalid filter format (expected: filter=<name=value>)", { cause: flag });
    const key = flag.slice(0, at).trim().toLowerCase();
    const values = (filters[key] ??= []);
    const value = flag.slice(at + 1).trim();
    if (!values.includes(value)) values.push(value);
  }
  return flags.length === 0 ? undefined : filters;
}
