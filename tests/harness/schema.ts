import api from "../../reference/engine-api.json";

/** The part of a Swagger 2 schema that the Engine API's definition uses. */
interface Shape {
  $ref?: string;
  type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  properties?: Record<string, Shape>;
  additionalProperties?: Shape | boolean;
  items?: Shape;
  required?: string[];
  enum?: unknown[];
  allOf?: Shape[];
  "x-nullable"?: boolean;
}

interface Operation {
  responses: Record<string, { schema?: Shape }>;
}

const definitions = api.definitions as unknown as Record<string, Shape>;
const paths = api.paths as unknown as Record<string, Record<string, Operation>>;

/** Where Docker answers null though the definition has no word of it, and clients rely on that: `METHOD template place`. */
const NULL_IN_PRACTICE = new Set([
  "GET /exec/{id}/json .ExitCode",
  "GET /containers/{id}/json .HostConfig.MemorySwappiness",
  "GET /containers/{id}/json .HostConfig.OomKillDisable",
]);

/** What we say beyond the definition: clients leave aside what they do not know. */
const OURS = new Set([
  "GET /containers/{id}/json .PendingChanges: is not in the definition",
  "POST /containers/{id}/update .Pending: is not in the definition",
]);

/** Checks answers of the Engine API against `reference/engine-api.json`. */
export class Schema {
  /** How many answers were checked, by `METHOD /path/{template} status`. */
  readonly checked = new Map<string, number>();

  /** Throws with every difference when the answer is not what the definition says. Answers without a schema have nothing to check. */
  check(method: string, path: string, status: number, value: unknown): void {
    const template = templateOf(method, path.split("?")[0] ?? path);
    if (template === undefined) throw new Error(`${method} ${path} is not in the definition of the Engine API`);
    // Versions, malformed JSON and the like are refused before any handler: every path may answer an error.
    const anyError = status >= 400 ? { schema: { $ref: "#/definitions/ErrorResponse" } } : undefined;
    const response = paths[template]?.[method.toLowerCase()]?.responses[String(status)] ?? anyError;
    if (response === undefined) throw new Error(`${method} ${template}: status ${status} is not in the definition of the Engine API`);
    const key = `${method} ${template} ${status}`;
    this.checked.set(key, (this.checked.get(key) ?? 0) + 1);
    if (response.schema === undefined) return;
    const differences = differencesOf(response.schema, value, "").filter(
      (text) =>
        !OURS.has(`${method} ${template} ${text}`) &&
        !(text.includes(": is null,") && NULL_IN_PRACTICE.has(`${method} ${template} ${text.split(":")[0]}`)),
    );
    if (differences.length > 0) throw new Error(`${key}: not as the Engine API defines it:\n  ${differences.join("\n  ")}`);
  }
}

function templateOf(method: string, path: string): string | undefined {
  const matches = Object.keys(paths).filter(
    (template) => paths[template]?.[method.toLowerCase()] !== undefined && pattern(template).test(path),
  );
  return matches.sort((a, b) => a.split("{").length - b.split("{").length)[0];
}

/** Names of images and plugins may hold slashes; other placeholders are one segment. */
function pattern(template: string): RegExp {
  const many = template.startsWith("/images/") || template.startsWith("/distribution/") || template.startsWith("/plugins/");
  return new RegExp(`^${template.replaceAll(/\{[^}]+\}/g, many ? ".+" : "[^/]+")}$`);
}

/** What of `value` is not as `shape` says; `at` is the place, for the sentences. */
export function differencesOf(shape: Shape, value: unknown, at: string): string[] {
  const known = resolved(shape);
  const where = at === "" ? "the answer" : at;
  if (value === null || value === undefined) {
    // Go writes null for empty lists and maps; a definition that says so has x-nullable.
    const nullable = known["x-nullable"] === true || shape["x-nullable"] === true || known.type === "array" || known.type === "object";
    return nullable || known.type === undefined ? [] : [`${where}: is ${String(value)}, expected ${known.type}`];
  }
  // "" stands for "not set" in every enumeration.
  // An enumeration of objects is Go's set: {"80/tcp": {}}.
  if (known.enum !== undefined && known.type !== "object" && !known.enum.includes(value) && value !== "") {
    return [`${where}: ${JSON.stringify(value)} is none of ${known.enum.map((one) => JSON.stringify(one)).join(", ")}`];
  }
  switch (known.type) {
    case "array":
      if (!Array.isArray(value)) return [`${where}: ${kind(value)}, expected array`];
      return value.flatMap((item, index) => differencesOf(known.items ?? {}, item, `${at}[${index}]`));
    case "object":
      if (typeof value !== "object" || Array.isArray(value)) return [`${where}: ${kind(value)}, expected object`];
      return objectDifferences(known, value as Record<string, unknown>, at);
    case "integer":
      return Number.isInteger(value) ? [] : [`${where}: ${kind(value)} ${String(value)}, expected integer`];
    case "number":
    case "string":
    case "boolean":
      return typeof value === known.type ? [] : [`${where}: ${kind(value)}, expected ${known.type}`];
    default:
      return [];
  }
}

function objectDifferences(shape: Shape, value: Record<string, unknown>, at: string): string[] {
  const found: string[] = [];
  for (const name of shape.required ?? []) {
    // The definition once requires a property that it does not have (UnpackedSize, meant as Size.Unpacked).
    if (!(name in value) && name in (shape.properties ?? {})) found.push(`${at}.${name}: is missing`);
  }
  for (const [name, item] of Object.entries(value)) {
    const known = shape.properties?.[name] ?? (typeof shape.additionalProperties === "object" ? shape.additionalProperties : undefined);
    if (known !== undefined) found.push(...differencesOf(known, item, `${at}.${name}`));
    else if (shape.properties !== undefined && shape.additionalProperties === undefined)
      found.push(`${at}.${name}: is not in the definition`);
  }
  return found;
}

/** Follows references and joins `allOf`. */
function resolved(shape: Shape): Shape {
  if (shape.$ref !== undefined) {
    const name = shape.$ref.slice("#/definitions/".length);
    const target = definitions[name];
    if (target === undefined) throw new Error(`reference/engine-api.json: no definition ${name}`);
    return resolved(target);
  }
  const whole: Shape = { ...shape };
  if (shape.allOf !== undefined) {
    delete whole.allOf;
    for (const part of shape.allOf.map(resolved)) {
      if (part.type !== undefined) whole.type = part.type;
      if (part.enum !== undefined) whole.enum = part.enum;
      whole.properties = { ...part.properties, ...whole.properties };
      whole.required = [...(part.required ?? []), ...(whole.required ?? [])];
    }
  }
  if (whole.type === undefined && whole.properties !== undefined) whole.type = "object";
  return whole;
}

function kind(value: unknown): string {
  return Array.isArray(value) ? "array" : typeof value;
}
