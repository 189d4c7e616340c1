import { LighterError, messageOf } from "../base/errors.ts";
import { FUNCTION_NAMES, FUNCTIONS, truth } from "./template-functions.ts";
import { parseTemplate, type Expression, type Node, type Pipeline } from "./template-parser.ts";
import { goType, show } from "./template-print.ts";

export interface TemplateOptions {
  /** What to say of a field that a value lacks; undefined takes the field as nil. */
  missing?: (field: string, value: unknown) => string | undefined;
  /** The key that a field may have in a value without the field itself. */
  alias?: (value: object, field: string) => string | undefined;
}

/** A parsed template (Go's text/template), ready to be filled in many times. */
export type Template = (data: unknown) => string;

/** Parses a template. Throws `invalid` with Go's texts, here and when the template is filled in. */
export function compileTemplate(source: string, options: TemplateOptions = {}): Template {
  const nodes = parseTemplate(source, FUNCTION_NAMES);
  return (data) => new Run(data, options).nodes(nodes, data);
}

/** Break and continue of a range. */
class Jump extends Error {
  readonly kind: "break" | "continue";
  readonly text: string;
  constructor(kind: "break" | "continue", text: string) {
    super(kind);
    this.kind = kind;
    this.text = text;
  }
}

/** Nothing came through the pipe. */
const NOTHING = Symbol("nothing");

class Run {
  readonly #options: TemplateOptions;
  #scopes: Map<string, unknown>[];

  constructor(root: unknown, options: TemplateOptions) {
    this.#options = options;
    this.#scopes = [new Map([["$", root]])];
  }

  nodes(nodes: readonly Node[], dot: unknown): string {
    let text = "";
    for (const node of nodes) {
      try {
        text += this.#node(node, dot);
      } catch (error) {
        throw error instanceof Jump ? new Jump(error.kind, text + error.text) : error;
      }
    }
    return text;
  }

  #node(node: Node, dot: unknown): string {
    switch (node.kind) {
      case "text":
        return node.text;
      case "action": {
        const value = this.#pipeline(node.pipeline, dot);
        return node.pipeline.declares.length > 0 ? "" : value === undefined ? "<no value>" : show(value);
      }
      case "break":
      case "continue":
        throw new Jump(node.kind, "");
      case "range":
        return this.#scoped(() => this.#range(node, dot));
      case "if":
      case "with":
        return this.#scoped(() => {
          const value = this.#pipeline(node.pipeline, dot);
          return truth(value) ? this.nodes(node.body, node.kind === "with" ? value : dot) : this.nodes(node.otherwise, dot);
        });
    }
  }

  #scoped(work: () => string): string {
    const depth = this.#scopes.length;
    this.#scopes.push(new Map());
    try {
      return work();
    } finally {
      this.#scopes.length = depth;
    }
  }

  #range(node: Extract<Node, { kind: "if" | "with" | "range" }>, dot: unknown): string {
    const declares = node.pipeline.declares;
    const value = this.#pipeline({ ...node.pipeline, declares: [] }, dot);
    const entries = rangeEntries(value);
    if (entries.length === 0) return this.nodes(node.otherwise, dot);
    let text = "";
    for (const [key, item] of entries) {
      const scope = this.#scopes.at(-1);
      const [first, second] = declares;
      if (first !== undefined) scope?.set(first, second === undefined ? item : key);
      if (second !== undefined) scope?.set(second, item);
      try {
        text += this.#scoped(() => this.nodes(node.body, item));
      } catch (error) {
        if (!(error instanceof Jump)) throw error;
        text += error.text;
        if (error.kind === "break") break;
      }
    }
    return text;
  }

  #pipeline(pipeline: Pipeline, dot: unknown): unknown {
    let value: unknown = NOTHING;
    for (const command of pipeline.commands) value = this.#command(command, dot, value);
    for (const name of pipeline.declares) {
      const scope = pipeline.assigns ? this.#scopes.findLast((one) => one.has(name)) : this.#scopes.at(-1);
      if (!scope) throw new LighterError("invalid", `template: :1: undefined variable "${name}"`);
      scope.set(name, value);
    }
    return value;
  }

  #command([head, ...rest]: readonly Expression[], dot: unknown, piped: unknown): unknown {
    if (!head) return piped;
    const args = (): unknown[] => [...rest.map((operand) => this.#value(operand, dot)), ...(piped === NOTHING ? [] : [piped])];
    if (head.kind === "function") return this.#call(head.name, head, rest, dot, piped);
    const value = this.#value(head, dot);
    if (typeof value === "function") return (value as (...values: unknown[]) => unknown)(...args());
    if (rest.length > 0 || piped !== NOTHING)
      throw new LighterError("invalid", `template: :1: can't give argument to non-function ${nameOf(head)}`);
    return value;
  }

  #call(name: string, _head: Expression, rest: readonly Expression[], dot: unknown, piped: unknown): unknown {
    // `and` and `or` stop at the operand that decides.
    if (name === "and" || name === "or") {
      let value: unknown;
      for (const operand of rest) {
        value = this.#value(operand, dot);
        if (truth(value) === (name === "or")) return value;
      }
      return piped === NOTHING ? value : piped;
    }
    const args = [...rest.map((operand) => this.#value(operand, dot)), ...(piped === NOTHING ? [] : [piped])];
    try {
      return FUNCTIONS[name]?.(...args);
    } catch (error) {
      throw new LighterError("invalid", `template: :1: executing "" at <${name}>: ${messageOf(error)}`, { cause: error });
    }
  }

  #value(expression: Expression, dot: unknown): unknown {
    switch (expression.kind) {
      case "literal":
        return expression.value;
      case "dot":
        return dot;
      case "variable":
        return this.#variable(expression.name);
      case "function":
        return this.#call(expression.name, expression, [], dot, NOTHING);
      case "pipeline":
        return this.#pipeline(expression, dot);
      case "chain": {
        let value = this.#value(expression.base, dot);
        let path = expression.base.kind === "variable" ? expression.base.name : "";
        for (const field of expression.fields) {
          path += `.${field.name}`;
          value = this.#field(value, field, path);
        }
        return value;
      }
    }
  }

  #variable(name: string): unknown {
    const scope = this.#scopes.findLast((one) => one.has(name));
    if (!scope) throw new LighterError("invalid", `template: :1: undefined variable "${name}"`);
    return scope.get(name);
  }

  #field(value: unknown, field: { name: string; line: number; column: number }, path: string): unknown {
    const at = `template: :${field.line}:${field.column} executing "" at <${path}>`.replace(" executing", ": executing");
    if (value === null || value === undefined)
      throw new LighterError("invalid", `${at}: nil pointer evaluating interface {}.${field.name}`);
    if (typeof value !== "object" || Array.isArray(value)) {
      throw new LighterError("invalid", `${at}: can't evaluate field ${field.name} in type ${goType(value)}`);
    }
    const key = Object.hasOwn(value, field.name) ? field.name : this.#options.alias?.(value, field.name);
    if (key !== undefined) return (value as Record<string, unknown>)[key];
    const complaint = this.#options.missing?.(field.name, value);
    if (complaint !== undefined) throw new LighterError("invalid", `${at}: ${complaint}`);
    return null;
  }
}

function rangeEntries(value: unknown): [unknown, unknown][] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value.map((item: unknown, at) => [at, item]);
  if (typeof value === "number") return Array.from({ length: value }, (_, at) => [at, at]);
  if (typeof value === "object") return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  throw new LighterError("invalid", `template: :1: range can't iterate over ${show(value)}`);
}

function nameOf(expression: Expression): string {
  if (expression.kind === "chain") return expression.fields.map(({ name }) => `.${name}`).join("");
  return expression.kind === "literal" ? JSON.stringify(expression.value) : expression.kind === "dot" ? "." : "value";
}
