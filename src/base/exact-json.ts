/** A number as it stood in a JSON text: larger than a double holds exactly. `JSON.stringify` writes it unchanged. */
export interface RawNumber {
  readonly rawJSON: string;
}

/** `JSON.rawJSON` and the third argument of a reviver: https://github.com/tc39/proposal-json-parse-with-source */
interface SourceJson {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): RawNumber;
}

/** `JSON.parse` that keeps whole numbers past 2^53 as they are written. Throws what `JSON.parse` throws. */
export function parseExactly(text: string): unknown {
  const json = JSON as unknown as SourceJson;
  // Only where there may be one: the plain parser is several times faster.
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  return json.parse(text, (_key, value, { source }) =>
    typeof value === "number" && source !== undefined && /^\d+$/.test(source) && !Number.isSafeInteger(value)
      ? json.rawJSON(source)
      : value,
  );
}

/** The exact value of a number that came through {@link parseExactly}. */
export function exactly(value: number | RawNumber): number | bigint {
  return typeof value === "number" ? value : BigInt(value.rawJSON);
}

/** A whole number of any size for `JSON.stringify`. */
export function rawNumber(value: bigint): RawNumber {
  return (JSON as unknown as SourceJson).rawJSON(String(value));
}
