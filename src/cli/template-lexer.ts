import { LighterError } from "../base/errors.ts";

/** A piece of a template: text to copy, or an action's tokens. */
export type Piece = { text: string } | { tokens: Token[]; line: number };

/** `kind` says what the token is; `text` is its spelling, for strings their value. */
export interface Token {
  kind: "string" | "number" | "field" | "variable" | "word" | "punct" | "char";
  text: string;
  /** Whether white space stands before it: `.A.B` is a chain, `.A .B` are two arguments. */
  spaced: boolean;
  /** Column in its line, for error texts. */
  column: number;
  line: number;
}

/** Splits a template (Go's text/template) into text and actions. Throws `invalid` with Go's texts. */
export function lex(source: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trimNext = false;
  const addText = (text: string, trimEnd: boolean): void => {
    let shown = trimNext ? text.replace(/^[ \t\r\n]+/, "") : text;
    if (trimEnd) shown = shown.replace(/[ \t\r\n]+$/, "");
    if (shown !== "") pieces.push({ text: shown });
    trimNext = false;
  };
  for (;;) {
    const open = source.indexOf("{{", at);
    if (open < 0) {
      addText(source.slice(at), false);
      return pieces;
    }
    const trims = /^-[ \t\r\n]/.test(source.slice(open + 2, open + 4));
    addText(source.slice(at, open), trims);
    const start = open + 2 + (trims ? 2 : 0);
    const line = source.slice(0, open).split("\n").length;
    const comment = /^\s*\/\*[\s\S]*?\*\/(\s+-)?\}\}/.exec(source.slice(start));
    if (comment) {
      trimNext = comment[1] !== undefined;
      at = start + comment[0].length;
      continue;
    }
    const { tokens, end, trimAfter } = lexAction(source, start, line);
    pieces.push({ tokens, line });
    trimNext = trimAfter;
    at = end;
  }
}

const TOKEN =
  /(?<string>"(?:[^"\\\n]|\\.)*")|(?<raw>`[^`]*`)|(?<char>'(?:[^'\\\n]|\\.)+')|(?<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))|(?<field>\.[\p{L}_][\p{L}\p{N}_]*)|(?<variable>\$[\p{L}\p{N}_]*)|(?<word>[\p{L}_][\p{L}\p{N}_]*)|(?<punct>:=|[.|(),=])/uy;

function lexAction(source: string, start: number, line: number): { tokens: Token[]; end: number; trimAfter: boolean } {
  const tokens: Token[] = [];
  const lineStart = source.lastIndexOf("\n", start - 1) + 1;
  let at = start;
  for (;;) {
    const space = /^[ \t\r\n]*/.exec(source.slice(at))?.[0].length ?? 0;
    at += space;
    if (source.startsWith("}}", at)) return { tokens, end: at + 2, trimAfter: false };
    if (space > 0 && source.startsWith("-}}", at)) return { tokens, end: at + 3, trimAfter: true };
    if (at >= source.length) throw problem(line, "unclosed action");
    TOKEN.lastIndex = at;
    const groups = TOKEN.exec(source)?.groups;
    const found = groups && Object.entries(groups).find(([, text]) => text !== undefined);
    if (!found) throw problem(line, lexProblem(source, at));
    const [name, text] = found;
    const kind = name === "raw" ? "string" : (name as Token["kind"]);
    const value = name === "raw" ? text.slice(1, -1) : name === "string" || name === "char" ? unquote(text, line) : text;
    tokens.push({ kind, text: value, spaced: space > 0 || tokens.length === 0, column: at - lineStart, line });
    at += text.length;
  }
}

function lexProblem(source: string, at: number): string {
  if (source[at] === '"') return "unterminated quoted string";
  if (source[at] === "`") return "unterminated raw quoted string";
  const char = source[at] ?? "";
  return `unexpected ${JSON.stringify(char)} in operand`;
}

function unquote(text: string, line: number): string {
  try {
    const body = text
      .slice(1, -1)
      .replace(/\\'/g, "'")
      .replace(/\\x([0-9a-fA-F]{2})/g, "\\u00$1")
      .replace(/\\a/g, "\\u0007")
      .replace(/\\v/g, "\\u000b");
    return JSON.parse(`"${body.replace(/(?<!\\)"/g, '\\"').replace(/\t/g, "\\t")}"`) as string;
  } catch {
    throw problem(line, "invalid syntax");
  }
}

/** A template that cannot be parsed, in Go's words. */
export function problem(line: number, text: string): LighterError {
  return new LighterError("invalid", `template: :${line}: ${text}`);
}
