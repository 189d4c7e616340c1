import { LighterError } from "../base/errors.ts";
import { goJson, goType, show, sprintf } from "./template-print.ts";

type TemplateFunction = (...args: unknown[]) => unknown;

/** Go's idea of truth: everything but the zero value of its kind and what is empty. */
export function truth(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** What templates may call: Go's builtins, and docker's own (json, split, join, title, lower, upper, pad, truncate). */
export const FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  json: (value) => goJson(value, false),
  jsonPretty: (value) => JSON.stringify(value, null, 4),
  split: (text, separator) => show(text).split(show(separator)),
  join: (items, separator) =>
    Array.isArray(items)
      ? items.map(show).join(show(separator))
      : fail("join", `wrong type for value; expected []string; got ${goType(items)}`),
  title: (text) =>
    show(text).replace(/(^|[^\p{L}\p{N}_'])(\p{Ll})/gu, (_, before: string, letter: string) => before + letter.toUpperCase()),
  lower: (text) => show(text).toLowerCase(),
  upper: (text) => show(text).toUpperCase(),
  pad: (text, before, after) => (show(text) === "" ? "" : " ".repeat(Number(before)) + show(text) + " ".repeat(Number(after))),
  truncate: (text, length) => Array.from(show(text)).slice(0, Number(length)).join(""),
  print: (...args) => print(args),
  println: (...args) => `${args.map(show).join(" ")}\n`,
  printf: (format, ...args) => sprintf(show(format), args),
  len: length,
  index: (value, ...keys) => keys.reduce(indexOne, value),
  slice: (value, from = 0, to?: unknown) =>
    Array.isArray(value)
      ? value.slice(Number(from), to === undefined ? undefined : Number(to))
      : show(value).slice(Number(from), to === undefined ? undefined : Number(to)),
  not: (value) => !truth(value),
  and: (...args) => args.find((value) => !truth(value)) ?? args.at(-1),
  or: (...args) => args.find(truth) ?? args.at(-1),
  eq: (value, ...others) => others.some((other) => equal(value, other)),
  ne: (a, b) => !equal(a, b),
  lt: (a, b) => compare("lt", a, b) < 0,
  le: (a, b) => compare("le", a, b) <= 0,
  gt: (a, b) => compare("gt", a, b) > 0,
  ge: (a, b) => compare("ge", a, b) >= 0,
  urlquery: (...args) => encodeURIComponent(print(args)).replace(/%20/g, "+"),
  html: (...args) => print(args).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`),
  js: (...args) => JSON.stringify(print(args)).slice(1, -1),
};

/** The names of {@link FUNCTIONS}, for the parser. */
export const FUNCTION_NAMES: ReadonlySet<string> = new Set(Object.keys(FUNCTIONS));

/** Go's Sprint: a space between two neighbours of which neither is a string. */
function print(args: readonly unknown[]): string {
  return args
    .map((value, at) => `${at > 0 && typeof value !== "string" && typeof args[at - 1] !== "string" ? " " : ""}${show(value)}`)
    .join("");
}

function length(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (typeof value === "object" && value !== null) return Object.keys(value).length;
  return fail("len", `len of type ${goType(value)}`);
}

function indexOne(value: unknown, key: unknown): unknown {
  if (value === null || value === undefined) return fail("index", "index of untyped nil");
  if (Array.isArray(value) || typeof value === "string") {
    const at = Number(key);
    if (typeof key !== "number") return fail("index", `cannot index slice/array with type ${goType(key)}`);
    if (at < 0 || at >= value.length) return fail("index", `reflect: slice index out of range`);
    return typeof value === "string" ? Buffer.from(value)[at] : value[at];
  }
  if (typeof value === "object") {
    if (typeof key !== "string") return fail("index", `value has type ${goType(key)}; should be string`);
    return (value as Record<string, unknown>)[key] ?? "";
  }
  return fail("index", `can't index item of type ${goType(value)}`);
}

function equal(a: unknown, b: unknown): boolean {
  if (typeof a !== typeof b && a !== null && b !== null && a !== undefined && b !== undefined)
    return fail("eq", "incompatible types for comparison");
  return (a ?? null) === (b ?? null);
}

function compare(name: string, a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a > b ? 1 : 0;
  return fail(name, "incompatible types for comparison");
}

function fail(name: string, reason: string): never {
  throw new LighterError("invalid", `error calling ${name}: ${reason}`);
}
