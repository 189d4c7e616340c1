import { LighterError } from "../base/errors.ts";

/** Docker's filters: a key with its values, all of one key joined by "or", keys by "and". */
export type Filters = ReadonlyMap<string, readonly string[]>;

/**
 * Parses the `filters` query: `{"status":["running"]}`, or the old form `{"status":{"running":true}}`.
 * Throws `invalid` for malformed JSON and for keys outside of `allowed` (with Docker's text).
 */
export function parseFilters(text: string | undefined, allowed?: readonly string[]): Filters {
  const filters = new Map<string, string[]>();
  if (text === undefined || text === "") return filters;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new LighterError("invalid", `invalid filter: ${(cause as Error).message}`, { cause });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new LighterError("invalid", "invalid filter: expected an object");
  for (const [key, value] of Object.entries(parsed)) {
    if (allowed !== undefined && !allowed.includes(key)) throw new LighterError("invalid", `invalid filter '${key}'`);
    filters.set(key, valuesOf(key, value));
  }
  return filters;
}

function valuesOf(key: string, value: unknown): string[] {
  if (Array.isArray(value)) return value.map(String);
  if (typeof value === "object" && value !== null)
    return Object.keys(value).filter((name) => (value as Record<string, unknown>)[name] !== false);
  throw new LighterError("invalid", `invalid filter '${key}': expected a list of values`);
}

/** The values of a key; undefined when it was not given (which lets everything pass). */
export function filterValues(filters: Filters, key: string): readonly string[] | undefined {
  const values = filters.get(key);
  return values === undefined || values.length === 0 ? undefined : values;
}

/** Whether labels satisfy every `label` value (`key` or `key=value`) and no `label!` value. */
export function matchLabels(filters: Filters, labels: Readonly<Record<string, string>>): boolean {
  const has = (wanted: string): boolean => {
    const equals = wanted.indexOf("=");
    const key = equals < 0 ? wanted : wanted.slice(0, equals);
    return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1));
  };
  return (filters.get("label") ?? []).every(has) && !(filters.get("label!") ?? []).some(has);
}

/** A yes-or-no filter such as `dangling`; throws `invalid` for anything but true, false, 1 and 0. */
export function booleanFilter(filters: Filters, key: string): boolean | undefined {
  const value = filterValues(filters, key)?.[0];
  if (value === undefined) return undefined;
  if (value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  throw new LighterError("invalid", `invalid filter '${key}=[${value}]'`);
}
