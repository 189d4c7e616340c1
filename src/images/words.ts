import { LighterError } from "../base/errors.ts";

/** Where reading stands: the text, and what variables mean. */
interface Cursor {
  text: string;
  at: number;
  variables: ReadonlyMap<string, string>;
}

const BLANK = /\s/;

/**
 * Splits the arguments of a Dockerfile instruction at blanks: quotes and backslashes are taken away, and `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}`
 * put in from the environment (single quotes keep them). Throws `invalid` for an expression that has no end.
 * https://docs.docker.com/reference/dockerfile/#environment-replacement
 */
export function splitWords(text: string, environment: readonly string[] = []): string[] {
  const cursor: Cursor = { text, at: 0, variables: mapOf(environment) };
  const words: string[] = [];
  for (;;) {
    while (BLANK.test(text[cursor.at] ?? "")) cursor.at++;
    if (cursor.at >= text.length) return words;
    words.push(readUntil(cursor, (char) => BLANK.test(char)));
  }
}

/** The whole text as one word: blanks stay. */
export function oneWord(text: string, environment: readonly string[] = []): string {
  return readUntil({ text, at: 0, variables: mapOf(environment) }, () => false);
}

function mapOf(environment: readonly string[]): Map<string, string> {
  return new Map(environment.map((entry) => [entry.split("=", 1)[0] ?? "", entry.slice(entry.indexOf("=") + 1)]));
}

function readUntil(cursor: Cursor, ends: (char: string) => boolean): string {
  let word = "";
  for (let char = cursor.text[cursor.at]; char !== undefined && !ends(char); char = cursor.text[cursor.at]) {
    cursor.at++;
    if (char === "'") word += single(cursor);
    else if (char === '"') word += double(cursor);
    else if (char === "\\") word += cursor.text[cursor.at++] ?? "";
    else word += char === "$" ? variable(cursor) : char;
  }
  return word;
}

function single(cursor: Cursor): string {
  const end = cursor.text.indexOf("'", cursor.at);
  if (end < 0) throw new LighterError("invalid", "unexpected end of statement while looking for matching single-quote");
  const text = cursor.text.slice(cursor.at, end);
  cursor.at = end + 1;
  return text;
}

function double(cursor: Cursor): string {
  let word = "";
  for (;;) {
    const char = cursor.text[cursor.at++];
    if (char === undefined) throw new LighterError("invalid", "unexpected end of statement while looking for matching double-quote");
    if (char === '"') return word;
    const next = cursor.text[cursor.at] ?? "";
    if (char === "\\" && /["$\\]/.test(next)) {
      word += next;
      cursor.at++;
    } else word += char === "$" ? variable(cursor) : char;
  }
}

function variable(cursor: Cursor): string {
  const rest = cursor.text.slice(cursor.at);
  const plain = /^(?:[A-Za-z_]\w*|[0-9@*#!?-])/.exec(rest)?.[0];
  if (plain !== undefined) {
    cursor.at += plain.length;
    return cursor.variables.get(plain) ?? "";
  }
  if (!rest.startsWith("{")) return "$";
  const name = /^\{([A-Za-z_]\w*|\d+)/.exec(rest)?.[1];
  if (name === undefined) throw new LighterError("invalid", `syntax error: bad substitution`);
  cursor.at += name.length + 1;
  const value = cursor.variables.get(name);
  const [, modifier] = /^(:?[-+]|\})/.exec(cursor.text.slice(cursor.at)) ?? [];
  if (modifier === undefined) throw new LighterError("invalid", `missing ':' in substitution`);
  cursor.at += modifier.length;
  if (modifier === "}") return value ?? "";
  const word = readUntil(cursor, (char) => char === "}");
  if (cursor.text[cursor.at++] !== "}") throw new LighterError("invalid", "syntax error: missing '}'");
  const there = modifier.startsWith(":") ? value !== undefined && value !== "" : value !== undefined;
  return modifier.endsWith("+") ? (there ? word : "") : there ? (value ?? "") : word;
}
