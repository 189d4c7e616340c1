import { fromRfc3339, type Nanoseconds } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { pathText } from "../oci/tar-entry.ts";
import { parseFilters, type Filters } from "../wire/filters.ts";

const NO: ReadonlySet<string> = new Set(["", "0", "no", "false", "none"]);

/** A request's query, read the way Docker's daemon reads it. */
export class Query {
  #text: string;
  #parsed: URLSearchParams | undefined;

  /** @param text what follows the question mark, undecoded */
  constructor(text: string) {
    this.#text = text;
  }

  get #values(): URLSearchParams {
    return (this.#parsed ??= new URLSearchParams(this.#text));
  }

  /** Forgets a key. */
  drop(key: string): void {
    if (this.#text !== "") this.#values.delete(key);
  }

  /** Gives a key one value. */
  set(key: string, value: string): void {
    this.#values.set(key, value);
    this.#text = this.#values.toString();
  }

  has(key: string): boolean {
    return this.#text !== "" && this.#values.has(key);
  }

  /** The first value; undefined for a missing or an empty one. */
  text(key: string): string | undefined {
    if (this.#text === "") return undefined;
    return this.#values.get(key) || undefined;
  }

  /** The first value, a path: one whose bytes are no UTF-8 reaches the files that it names ({@link pathText}). Undefined for a missing or an empty one. */
  path(key: string): string | undefined {
    const text = this.text(key);
    if (text?.includes("\ufffd") !== true) return text;
    const field = this.#text.split("&").find((each) => each.startsWith(`${key}=`));
    if (field === undefined) return text;
    const bytes = field.slice(key.length + 1).replaceAll("+", " ");
    return pathText(bytes.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))));
  }

  /** All values of a key that is repeated. */
  list(key: string): string[] {
    return this.#text === "" ? [] : this.#values.getAll(key);
  }

  /** False for a missing key, an empty value, `0`, `no`, `false` and `none` in any case; true for everything else. */
  flag(key: string, missing = false): boolean {
    if (this.#text === "") return missing;
    const value = this.#values.get(key);
    return value === null ? missing : !NO.has(value.trim().toLowerCase());
  }

  /** A whole number; undefined when missing or empty. Throws `invalid` with Go's text for what is none. */
  integer(key: string): number | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    if (!/^[+-]?\d{1,18}$/.test(value)) throw new LighterError("invalid", `strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`);
    return Number(value);
  }

  /** The `filters` value. */
  filters(allowed?: readonly string[]): Filters {
    return parseFilters(this.text("filters"), allowed);
  }

  /** A moment: seconds since the epoch with an optional fraction, or RFC 3339. Undefined when missing; zero counts as missing unless it is a moment, too. */
  time(key: string, { zero = false }: { zero?: boolean } = {}): Nanoseconds | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    const [, seconds, fraction = ""] = /^(\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(value) ?? [];
    if (seconds !== undefined) {
      const moment = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
      return moment === 0n && !zero ? undefined : moment;
    }
    const time = fromRfc3339(value);
    if (time === undefined) throw new LighterError("invalid", `invalid value for '${key}': ${JSON.stringify(value)} is not a time`);
    return time;
  }
}
