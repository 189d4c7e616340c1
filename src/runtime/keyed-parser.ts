import type { Count } from "./usage.ts";

const SPACE = 0x20;
const NEWLINE = 0x0a;
const ZERO = 0x30;
const NINE = 0x39;
/** So many digits are exact in a double. */
const SAFE_DIGITS = 15;

/** A line as the last file had it: kernels write the same keys in the same order each time. */
interface Place {
  /** Undefined where nobody wants it. */
  key: string | undefined;
  length: number;
  first: number;
  last: number;
}

/**
 * Reads files of lines `key value`, the value a whole number. It remembers where which key stands, so that the next file is read without looking at
 * the keys but for their ends: a hundred containers are asked at once. One that has other keys is read all the same.
 */
export class KeyedParser {
  readonly #wanted: ReadonlySet<string> | undefined;
  #places: Place[] = [];
  /** The last count beyond a double: mostly it is the same one, for "no limit". */
  #large: { text: string; value: bigint } = { text: "", value: 0n };

  /** @param wanted the keys to tell of; all where it is left out */
  constructor(wanted?: readonly string[]) {
    this.#wanted = wanted === undefined ? undefined : new Set(wanted);
  }

  parse(bytes: Uint8Array, length: number): Record<string, Count> {
    const found: Record<string, Count> = {};
    let line = 0;
    for (let at = 0; at < length; line++) {
      let place = this.#places[line];
      if (place === undefined || !fits(place, bytes, at)) {
        place = this.#learn(bytes, at, length);
        if (place === undefined) break;
        this.#places[line] = place;
      }
      const from = at + place.length + 1;
      let value = 0;
      for (at = from; at < length; at++) {
        const digit = bytes[at] ?? 0;
        if (digit < ZERO || digit > NINE) break;
        value = value * 10 + digit - ZERO;
      }
      if (place.key !== undefined) found[place.key] = at - from > SAFE_DIGITS ? this.#exact(bytes, from, at) : value;
      // What follows a number on its line belongs to it.
      while (at < length && bytes[at] !== NEWLINE) at++;
      at++;
    }
    return found;
  }

  #learn(bytes: Uint8Array, at: number, length: number): Place | undefined {
    const space = bytes.indexOf(SPACE, at);
    if (space < 0 || space >= length) return undefined;
    const key = Buffer.from(bytes.subarray(at, space)).toString("latin1");
    const wanted = this.#wanted === undefined || this.#wanted.has(key);
    return { key: wanted ? key : undefined, length: space - at, first: bytes[at] ?? 0, last: bytes[space - 1] ?? 0 };
  }

  #exact(bytes: Uint8Array, from: number, to: number): Count {
    const text = Buffer.from(bytes.subarray(from, to)).toString("latin1");
    const value = Number(text);
    if (Number.isSafeInteger(value)) return value;
    if (this.#large.text !== text) this.#large = { text, value: BigInt(text) };
    return this.#large.value;
  }
}

function fits({ length, first, last }: Place, bytes: Uint8Array, at: number): boolean {
  return bytes[at] === first && bytes[at + length] === SPACE && bytes[at + length - 1] === last;
}
