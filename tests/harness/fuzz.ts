import api from "../../reference/engine-api.json";

/** The part of a schema that requests use. */
interface Shape {
  $ref?: string;
  type?: string;
  format?: string;
  properties?: Record<string, Shape>;
  additionalProperties?: Shape | boolean;
  items?: Shape;
  enum?: unknown[];
  allOf?: Shape[];
  default?: unknown;
  example?: unknown;
}

interface Parameter extends Shape {
  name: string;
  in: "path" | "query" | "header" | "body" | "formData";
  schema?: Shape;
}

/** One request that was made up. */
export interface MadeUp {
  method: string;
  /** The path as the definition has it. */
  template: string;
  path: string;
  body: unknown;
}

/** What a caller of {@link Fuzzer} puts in place of what is made up: by the name of a parameter or field, and the path; undefined leaves it to chance. */
export type Given = (name: string, pick: <T>(list: readonly T[]) => T, template: string) => unknown;

const definitions = api.definitions as unknown as Record<string, Shape>;
const paths = api.paths as unknown as Record<string, Record<string, { parameters?: Parameter[] }>>;

const WORDS = [
  "",
  " ",
  "a",
  "true",
  "0",
  "-1",
  "none",
  "default",
  "host",
  "private",
  "container:nobody",
  "x".repeat(300),
  "ünï\u0000cödé",
  "\ud83d\udea2",
  "../../up",
  "%00%zz",
  "a b\nc",
  "80/tcp",
  "1-2/udp",
  "512m",
  "1e9",
  "__proto__",
  "constructor",
  "02:42:ac:11:00:02",
  "10.0.0.1",
  "fe80::1",
  '{"a":["b"]}',
  "linux/arm64",
  "label=x=y",
  "2026-01-01T00:00:00Z",
];
const NUMBERS = [0, 1, -1, 2, 7, 100, 1024, 65_535, 65_536, 6_291_456, 2 ** 31, -(2 ** 31), 2 ** 53, 1e18, 9.2e18, -9e18, 0.5];

/** Makes requests up from the definition of the Engine API; the same random numbers make the same requests. */
export class Fuzzer {
  readonly #random: () => number;
  readonly #given: Given;
  #template = "";
  #turn = 0;

  constructor(random: () => number, given: Given) {
    this.#random = random;
    this.#given = given;
  }

  readonly pick = <T>(list: readonly T[]): T => list[Math.floor(this.#random() * list.length)] as T;

  #chance(of: number): boolean {
    return this.#random() < of;
  }

  /** A request of an operation: each parameter is there or not, and mostly of the right type. */
  request(method: string, template: string): MadeUp {
    this.#template = template;
    const query: string[] = [];
    let path = template;
    let body: unknown;
    for (const parameter of paths[template]?.[method.toLowerCase()]?.parameters ?? []) {
      const { name } = parameter;
      if (parameter.in === "path") path = path.replace(`{${name}}`, encodeURIComponent(String(this.#text(name, parameter))));
      else if (parameter.in === "body") body = this.#body(name, parameter.schema ?? {});
      else if (parameter.in === "query" && this.#chance(0.5)) {
        const value = this.#text(name, parameter);
        query.push(`${encodeURIComponent(name)}=${this.#chance(0.02) ? "%zz" : encodeURIComponent(value)}`);
      }
    }
    return { method, template, path: query.length === 0 ? path : `${path}?${query.join("&")}`, body };
  }

  /** One field of the body after the other has its turn, with up to two others beside it: of all at once most would fail at the first. */
  #body(name: string, asked: Shape): unknown {
    const fields = fieldsOf(asked);
    if (fields.length < 4 || this.#chance(0.02)) return this.#value(name, asked, 0);
    const body: Record<string, unknown> = {};
    const chosen = [
      fields[this.#turn++ % fields.length] as Field,
      ...Array.from({ length: Math.floor(this.#random() * 3) }, () => this.pick(fields)),
    ];
    for (const field of ["Image", "Cmd", "Container"]) {
      const given = fields.some(({ path }) => path.length === 1 && path[0] === field)
        ? this.#given(field, this.pick, this.#template)
        : undefined;
      if (given !== undefined) body[field] = given;
    }
    for (const { path, shape } of chosen) {
      const [parent, child] = path as [string, string?];
      if (child === undefined) body[parent] = this.#value(parent, shape, 1);
      else body[parent] = { ...(body[parent] as object | undefined), [child]: this.#value(child, shape, 1) };
    }
    return body;
  }

  #text(name: string, shape: Shape): string {
    const value = this.#value(name, shape, 0);
    return (typeof value === "string" ? value : JSON.stringify(value)).replaceAll(/\p{Surrogate}/gu, "?");
  }

  #value(name: string, asked: Shape, depth: number): unknown {
    const given = this.#given(name, this.pick, this.#template);
    if (given !== undefined) return given;
    const shape = resolved(asked);
    if (this.#chance(0.03)) return this.#wrong();
    if (shape.enum !== undefined && this.#chance(0.8)) return this.pick(shape.enum);
    if (shape.example !== undefined && typeof shape.example !== "object" && this.#chance(0.3)) return shape.example;
    switch (shape.type) {
      case "boolean":
        return this.#chance(0.5);
      case "integer":
      case "number":
        return this.#chance(0.5) ? Math.floor(this.#random() * 1000) : this.pick(NUMBERS);
      case "array":
        return Array.from({ length: Math.floor(this.#random() * 3) }, () => this.#value(name, shape.items ?? {}, depth + 1));
      case "object":
        return this.#object(shape, depth);
      default:
        return this.pick(WORDS);
    }
  }

  #object(shape: Shape, depth: number): unknown {
    const found: Record<string, unknown> = {};
    // Of many fields only few: most combinations would fail at the first of them.
    const names = Object.keys(shape.properties ?? {});
    const share = depth === 0 ? 0.6 : Math.min(0.5, 4 / (names.length || 1));
    for (const name of names) {
      if (this.#given(name, this.pick, this.#template) !== undefined || this.#chance(share))
        found[name] = this.#value(name, shape.properties?.[name] ?? {}, depth + 1);
    }
    if (shape.properties === undefined) {
      const item = typeof shape.additionalProperties === "object" ? shape.additionalProperties : {};
      for (let n = Math.floor(this.#random() * 3); n > 0; n--) found[this.pick(WORDS)] = this.#value("", item, depth + 1);
    }
    return found;
  }

  #wrong(): unknown {
    return this.pick<unknown>([null, [], {}, [null], "", 1.5, -1, true, "x".repeat(5000), [[[[]]]], { a: { b: { c: null } } }]);
  }
}

function resolved(shape: Shape): Shape {
  if (shape.$ref !== undefined) return resolved(definitions[shape.$ref.slice("#/definitions/".length)] ?? {});
  if (shape.allOf === undefined) return shape.type === undefined && shape.properties !== undefined ? { ...shape, type: "object" } : shape;
  const parts = shape.allOf.map(resolved);
  return { type: "object", properties: Object.assign({}, ...parts.map(({ properties }) => properties)) as Record<string, Shape> };
}

interface Field {
  path: string[];
  shape: Shape;
}

/** The fields of a body, those of an object in it (`HostConfig`) one by one. */
function fieldsOf(shape: Shape): Field[] {
  return Object.entries(resolved(shape).properties ?? {}).flatMap(([name, field]): Field[] => {
    const inner = Object.entries(resolved(field).properties ?? {});
    return inner.length === 0 ? [{ path: [name], shape: field }] : inner.map(([child, item]) => ({ path: [name, child], shape: item }));
  });
}

/** The operations below some paths, as method and template. */
export function operationsBelow(...starts: string[]): [method: string, template: string][] {
  return Object.entries(paths)
    .filter(([path]) => starts.some((start) => path === start || path.startsWith(`${start}/`)))
    .flatMap(([path, methods]) => Object.keys(methods).map((method): [string, string] => [method.toUpperCase(), path]));
}
