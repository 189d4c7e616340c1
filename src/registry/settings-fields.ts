import { LighterError } from "../base/errors.ts";
import { parseBytes } from "../base/units.ts";

type Json = Record<string, unknown>;

/** An object of the configuration, whose keys are read by their kinds. */
export class Fields {
  readonly #json: Json;
  readonly #path: string;

  constructor(json: unknown, path: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json))
      throw new LighterError("invalid", `Cannot use the configuration: "${path}" must be an object`);
    this.#json = json as Json;
    this.#path = path;
  }

  wrong(key: string, wanted: string): LighterError {
    return new LighterError("invalid", `Cannot use the configuration: "${this.#path}.${key}" must be ${wanted}`);
  }

  /** Throws for a key that is not among these: a word that is written wrong must not be passed over. */
  only(keys: readonly string[]): void {
    const unknown = Object.keys(this.#json).find((key) => !keys.includes(key));
    if (unknown !== undefined) throw new LighterError("invalid", `Cannot use the configuration: unknown key "${this.#path}.${unknown}"`);
  }

  has(key: string): boolean {
    return this.#json[key] !== undefined;
  }

  text(key: string): string | undefined {
    return this.#of(key, "a string", (value) => typeof value === "string");
  }

  required(key: string): string {
    const value = this.text(key);
    if (value === undefined || value === "") throw this.wrong(key, "a string");
    return value;
  }

  flag(key: string): boolean | undefined {
    return this.#of(key, "true or false", (value) => typeof value === "boolean");
  }

  count(key: string): number | undefined {
    return this.#of(key, "a whole number", (value) => Number.isInteger(value) && (value as number) >= 0);
  }

  texts(key: string): string[] | undefined {
    return this.#of(key, "a list of strings", (value) => Array.isArray(value) && value.every((item) => typeof item === "string"));
  }

  textMap(key: string): Record<string, string> | undefined {
    const isMap = (value: unknown): boolean =>
      typeof value === "object" && value !== null && Object.values(value).every((item) => typeof item === "string");
    return this.#of(key, "an object of strings", isMap);
  }

  bytes(key: string): number | undefined {
    const value = this.#of<string | number>(key, "a size", (given) => typeof given === "string" || typeof given === "number");
    return typeof value === "string" ? parseBytes(value) : value;
  }

  duration(key: string): number | undefined {
    const text = this.text(key);
    return text === undefined ? undefined : (parseDuration(text) ?? this.#throw(key, "a duration as 30s, 24h or 7d"));
  }

  child(key: string): Fields | undefined {
    return this.has(key) ? new Fields(this.#json[key], `${this.#path}.${key}`) : undefined;
  }

  children(key: string): Fields[] {
    const list = this.#of<unknown[]>(key, "a list", Array.isArray) ?? [];
    return list.map((item, index) => new Fields(item, `${this.#path}.${key}[${index}]`));
  }

  #of<T>(key: string, wanted: string, fits: (value: unknown) => boolean): T | undefined {
    const value = this.#json[key];
    if (value !== undefined && !fits(value)) throw this.wrong(key, wanted);
    return value as T | undefined;
  }

  #throw(key: string, wanted: string): never {
    throw this.wrong(key, wanted);
  }
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds of `90s`, `1h30m`, `7d`; undefined for any other text. */
function parseDuration(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/.test(text)) return text === "0" ? 0 : undefined;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) sum += Number(amount) * (UNITS[unit ?? ""] ?? 0);
  return sum;
}
