import { LighterError } from "../base/errors.ts";

/**
 * Checks one value of a request's body and returns it as Go's decoder would leave it: unknown fields are dropped, `null` means absent, field names match in any case.
 * `path` names the value in errors.
 */
export type Shape = (value: unknown, path: string) => unknown;

function wrong(value: unknown, path: string, wanted: string): LighterError {
  const kind = Array.isArray(value)
    ? "a list"
    : typeof value === "object"
      ? "an object"
      : typeof value === "boolean"
        ? "a boolean"
        : `a ${typeof value}`;
  return new LighterError("invalid", `invalid JSON: cannot take ${kind} for ${path === "" ? "the body" : path}: expected ${wanted}`);
}

/** A string. */
export const text: Shape = (value, path) => {
  if (typeof value === "string") return value;
  throw wrong(value, path, "a string");
};

/** True or false. */
export const flag: Shape = (value, path) => {
  if (typeof value === "boolean") return value;
  throw wrong(value, path, "true or false");
};

/** A whole number of 64 bits. */
export const integer: Shape = (value, path) => {
  if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 2 ** 63) return value;
  throw wrong(value, path, "a whole number");
};

/** Anything at all. */
export const anything: Shape = (value) => value;

/** A list; nulls in it are refused. */
export function listOf(item: Shape): Shape {
  return (value, path) => {
    if (!Array.isArray(value)) throw wrong(value, path, "a list");
    for (let index = 0; index < value.length; index++) value[index] = item(value[index], `${path}[${index}]`);
    return value;
  };
}

/** A list of strings, or one string that stands for a list of one (`Cmd`, `Entrypoint`). */
export const words: Shape = (value, path) => (typeof value === "string" ? [value] : listOf(text)(value, path));

/** Names to values of one kind. A null is dropped, kept, or becomes an empty object. */
export function mapOf(item: Shape, nulls: "drop" | "keep" | "empty" = "drop"): Shape {
  return (value, path) => {
    if (!isObject(value)) throw wrong(value, path, "an object");
    for (const key in value) {
      if (value[key] !== null) value[key] = item(value[key], `${path}[${key}]`);
      else if (nulls === "empty") value[key] = {};
      else if (nulls === "drop") delete value[key];
    }
    return value;
  };
}

/** An object with known fields. */
export function object(fields: Readonly<Record<string, Shape>>): Shape {
  const spelled = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]));
  return (value, path) => {
    if (!isObject(value)) throw wrong(value, path, "an object");
    for (const key in value) {
      if (value[key] === null) {
        delete value[key];
        continue;
      }
      let name = key;
      let shape = fields[name];
      if (shape === undefined) {
        const proper = spelled.get(key.toLowerCase());
        if (proper === undefined) {
          delete value[key];
          continue;
        }
        name = proper;
        shape = fields[name] as Shape;
        value[name] = value[key];
        delete value[key];
      }
      value[name] = shape(value[name], path === "" ? name : `${path}.${name}`);
    }
    return value;
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
