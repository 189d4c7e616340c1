import { lex, problem, type Piece, type Token } from "./template-lexer.ts";

/** An operand or a call. */
export type Expression =
  | { kind: "literal"; value: unknown }
  | { kind: "dot" }
  | { kind: "variable"; name: string }
  | { kind: "function"; name: string }
  | { kind: "chain"; base: Expression; fields: { name: string; line: number; column: number }[] }
  | { kind: "pipeline"; commands: Expression[][]; declares: string[]; assigns: boolean };

/** A pipeline with the variables that it sets. */
export type Pipeline = Extract<Expression, { kind: "pipeline" }>;

/** A node of a parsed template. */
export type Node =
  | { kind: "text"; text: string }
  | { kind: "action"; pipeline: Pipeline }
  | { kind: "if" | "with" | "range"; pipeline: Pipeline; body: Node[]; otherwise: Node[] }
  | { kind: "break" | "continue" };

/** Parses a template of Go's text/template. `functions` are the names that may be called. Throws `invalid` with Go's texts. */
export function parseTemplate(source: string, functions: ReadonlySet<string>): Node[] {
  return new Parser(lex(source), functions, source.split("\n").length).parse();
}

class Parser {
  readonly #pieces: Piece[];
  readonly #functions: ReadonlySet<string>;
  readonly #lines: number;
  #at = 0;

  constructor(pieces: Piece[], functions: ReadonlySet<string>, lines: number) {
    this.#pieces = pieces;
    this.#functions = functions;
    this.#lines = lines;
  }

  parse(): Node[] {
    const { nodes, end } = this.#nodes();
    if (end) throw problem(end.line, `unexpected {{${end.word}}}`);
    return nodes;
  }

  /** Nodes up to an `else` or `end` of the block around, whose tokens are returned. */
  #nodes(): { nodes: Node[]; end?: { word: string; rest: Token[]; line: number } } {
    const nodes: Node[] = [];
    while (this.#at < this.#pieces.length) {
      const piece = this.#pieces[this.#at++];
      if (!piece) break;
      if ("text" in piece) {
        nodes.push({ kind: "text", text: piece.text });
        continue;
      }
      const [first, ...rest] = piece.tokens;
      if (!first) throw problem(piece.line, "missing value for command");
      const word = first.kind === "word" ? first.text : "";
      if (word === "end" || word === "else") return { nodes, end: { word, rest, line: piece.line } };
      if (word === "if" || word === "with" || word === "range") nodes.push(this.#block(word, rest, piece.line));
      else if (word === "break" || word === "continue") nodes.push({ kind: word });
      else nodes.push({ kind: "action", pipeline: this.#pipeline(piece.tokens, piece.line, "command") });
    }
    return { nodes };
  }

  #block(kind: "if" | "with" | "range", tokens: Token[], line: number): Node {
    const pipeline = this.#pipeline(tokens, line, kind);
    const { nodes: body, end } = this.#nodes();
    if (!end) throw problem(this.#lines, "unexpected EOF");
    if (end.word === "end") return { kind, pipeline, body, otherwise: [] };
    const [next, ...rest] = end.rest;
    if (next?.kind === "word" && (next.text === "if" || next.text === "with")) {
      return { kind, pipeline, body, otherwise: [this.#block(next.text, rest, end.line)] };
    }
    const { nodes: otherwise, end: last } = this.#nodes();
    if (last?.word !== "end") throw problem(this.#lines, last ? "expected end; found {{else}}" : "unexpected EOF");
    return { kind, pipeline, body, otherwise };
  }

  #pipeline(tokens: Token[], line: number, context: string): Pipeline {
    const reader = new ExpressionParser(tokens, this.#functions, line);
    return reader.pipeline(context);
  }
}

class ExpressionParser {
  readonly #tokens: Token[];
  readonly #functions: ReadonlySet<string>;
  readonly #line: number;
  #at = 0;

  constructor(tokens: Token[], functions: ReadonlySet<string>, line: number) {
    this.#tokens = tokens;
    this.#functions = functions;
    this.#line = line;
  }

  pipeline(context: string, closed = false): Pipeline {
    const { declares, assigns } = this.#declaration();
    const commands: Expression[][] = [];
    for (;;) {
      const command = this.#command(closed);
      if (command.length === 0)
        throw problem(this.#line, commands.length === 0 ? `missing value for ${context}` : "missing value for command");
      commands.push(command);
      const next = this.#tokens[this.#at];
      if (next?.text === "|" && next.kind === "punct") this.#at++;
      else break;
    }
    const left = this.#tokens[this.#at];
    if (left && !closed) throw problem(this.#line, `unexpected ${JSON.stringify(left.text)} in ${context}`);
    return { kind: "pipeline", commands, declares, assigns };
  }

  #declaration(): { declares: string[]; assigns: boolean } {
    const names: string[] = [];
    let at = this.#at;
    while (this.#tokens[at]?.kind === "variable") {
      names.push(this.#tokens[at]?.text ?? "");
      const next = this.#tokens[at + 1];
      if (next?.kind === "punct" && next.text === ",") at += 2;
      else if (next?.kind === "punct" && (next.text === ":=" || next.text === "=")) {
        this.#at = at + 2;
        return { declares: names, assigns: next.text === "=" };
      } else break;
    }
    return { declares: [], assigns: false };
  }

  #command(closed: boolean): Expression[] {
    const operands: Expression[] = [];
    for (;;) {
      const token = this.#tokens[this.#at];
      if (!token || (token.kind === "punct" && (token.text === "|" || (closed && token.text === ")")))) return operands;
      operands.push(this.#operand(token));
    }
  }

  #operand(token: Token): Expression {
    this.#at++;
    const base = this.#base(token);
    const fields: { name: string; line: number; column: number }[] = [];
    if (token.kind === "field") fields.push({ name: token.text.slice(1), line: token.line, column: token.column });
    for (;;) {
      const next = this.#tokens[this.#at];
      if (next?.kind !== "field" || next.spaced) break;
      fields.push({ name: next.text.slice(1), line: next.line, column: token.column });
      this.#at++;
    }
    return fields.length === 0 ? base : { kind: "chain", base, fields };
  }

  #base(token: Token): Expression {
    switch (token.kind) {
      case "string":
        return { kind: "literal", value: token.text };
      case "char":
        return { kind: "literal", value: token.text.codePointAt(0) ?? 0 };
      case "number":
        return { kind: "literal", value: Number(token.text) };
      case "field":
        return { kind: "dot" };
      case "variable":
        return { kind: "variable", name: token.text };
      case "word":
        return this.#word(token);
      case "punct":
        if (token.text === ".") return { kind: "dot" };
        if (token.text === "(") {
          const inner = this.pipeline("parenthesized pipeline", true);
          if (this.#tokens[this.#at++]?.text !== ")") throw problem(this.#line, "unclosed left paren");
          return inner;
        }
        throw problem(this.#line, `unexpected ${JSON.stringify(token.text)} in operand`);
    }
  }

  #word(token: Token): Expression {
    if (token.text === "true" || token.text === "false") return { kind: "literal", value: token.text === "true" };
    if (token.text === "nil") return { kind: "literal", value: null };
    if (!this.#functions.has(token.text)) throw problem(this.#line, `function "${token.text}" not defined`);
    return { kind: "function", name: token.text };
  }
}
