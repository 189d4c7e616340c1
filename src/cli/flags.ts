import { LighterError } from "../base/errors.ts";
import { parseBytes, parseDuration } from "../base/units.ts";

/** One flag of a command, as data: parsing, help and completion read it. */
export interface Flag<T> {
  /** What the help shows as the value's kind; empty for switches. */
  type: string;
  help: string;
  short?: string;
  /** The default as the help shows it. */
  shown?: string;
  /** Other long names, accepted but not shown. */
  aliases?: readonly string[];
  /** Accepted, but not shown. */
  hidden?: boolean;
  /** The value that the flag alone stands for; flags without it need one. */
  bare?: string;
  /** The value when the flag is not given. */
  initial: T;
  /** Takes one occurrence. Throws with the reason why the text is wrong. */
  take(text: string, before: T): T;
}

/** The flags of a command by their long names. */
export type Flags = Record<string, Flag<unknown>>;

/** What parsing yields for a set of flags. */
export type Values<F extends Flags> = { [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

/** What may be said about any flag beside its help: its one-letter form, or several things. */
type More<T> = string | Partial<Pick<Flag<T>, "short" | "shown" | "aliases" | "hidden" | "initial">>;

function make<T>(base: Omit<Flag<T>, "help">, help: string, more: More<T> | undefined): Flag<T> {
  return { ...base, help, ...(typeof more === "string" ? { short: more } : more) };
}

/** `--flag`, `--flag=false`. */
export function bool(help: string, more?: More<boolean>): Flag<boolean> {
  return make({ type: "", initial: false, bare: "true", take: parseBool }, help, more);
}

/** `--flag TEXT`. */
export function string(help: string, more?: More<string>): Flag<string> {
  return make({ type: "string", initial: "", take: (text) => text }, help, more);
}

/** `--flag N`, a whole number. */
export function int(help: string, more?: More<number>): Flag<number> {
  return make({ type: "int", initial: 0, take: parseInteger }, help, more);
}

/** `--flag N`, a whole number that is not negative. */
export function uint(help: string, more?: More<number> & object, type = "uint"): Flag<number> {
  return make({ type, initial: 0, take: parseUnsigned }, help, more);
}

/** `--flag SIZE` in bytes: `64m`, `1.5g`. */
export function bytes(help: string, more?: More<number>): Flag<number> {
  return make({ type: "bytes", initial: 0, take: (text) => parseBytes(text) }, help, more);
}

/** `--flag 1m30s` in nanoseconds. */
export function duration(help: string, more?: More<number>): Flag<number> {
  return make({ type: "duration", initial: 0, take: (text) => parseDuration(text) }, help, more);
}

/** `--flag A --flag B`: gathers every occurrence. */
export function list(help: string, more?: More<string[]>, type = "list"): Flag<string[]> {
  return make({ type, initial: [], take: (text, before) => [...before, text] }, help, more);
}

/** `--flag A,B --flag C`: gathers every occurrence and its comma-separated parts. */
export function strings(help: string, more?: More<string[]>, type = "strings"): Flag<string[]> {
  return make({ type, initial: [], take: (text, before) => [...before, ...text.split(",")] }, help, more);
}

/** `--flag KEY=VALUE`, several times: an object. */
export function map(help: string, more?: More<Record<string, string>>, type = "map"): Flag<Record<string, string>> {
  return make({ type, initial: {}, take: (text, before) => ({ ...before, ...keyValue(text) }) }, help, more);
}

/** `--filter KEY=VALUE`, several times. */
export function filter(help = "Show only what matches the condition", more: More<string[]> = "f"): Flag<string[]> {
  return make({ type: "filter", initial: [], take: takeFilter }, help, more);
}

/** A flag whose value has a grammar of its own: each occurrence is parsed at once, so that a wrong one is told as the flag's. */
export function parsed<T>(type: string, parse: (text: string) => T, help: string, more?: More<T[]>): Flag<T[]> {
  return make({ type, initial: [], take: (text, before) => [...before, parse(text)] }, help, more);
}

/** `KEY=VALUE` or `KEY` as an object of one entry. */
export function keyValue(text: string): Record<string, string> {
  const at = text.indexOf("=");
  return at < 0 ? { [text]: "" } : { [text.slice(0, at)]: text.slice(at + 1) };
}

function takeFilter(text: string, before: string[]): string[] {
  if (text === "") return before;
  if (!text.includes("=")) throw new LighterError("invalid", "bad format of filter (expected name=value)");
  return [...before, text];
}

const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);

function parseBool(text: string): boolean {
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  throw new LighterError("invalid", `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function parseInteger(text: string): number {
  if (!/^[+-]?(\d+|0[xX][0-9a-fA-F]+)$/.test(text))
    throw new LighterError("invalid", `strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

function parseUnsigned(text: string): number {
  if (!/^(\d+|0[xX][0-9a-fA-F]+)$/.test(text))
    throw new LighterError("invalid", `strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}
