import { LighterError } from "../base/errors.ts";

/** Docker's default: ctrl-p, ctrl-q. */
export const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

const CONTROL: Readonly<Record<string, number>> = { "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, _: 31 };

/** Bytes of a key sequence such as `ctrl-p,ctrl-q` or `a,b`. Throws `invalid` with Docker's text for unknown keys. */
export function parseDetachKeys(text: string): Uint8Array {
  return Uint8Array.from(text.split(","), (key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1];
    if (control === undefined) throw new LighterError("invalid", `Unknown character: '${key}'`);
    return CONTROL[control] ?? control.charCodeAt(0) - 96;
  });
}

/** Finds the detach sequence in typed input; what may still become it is held back until it does or does not. */
export class DetachScanner {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** Returns the input to pass on, and whether the sequence was completed (what follows it is dropped). */
  scan(input: Uint8Array): { pass: Uint8Array; detached: boolean } {
    const keys = this.#keys;
    if (this.#matched === 0 && !input.includes(keys[0] ?? -1)) return { pass: input, detached: false };
    const out: number[] = [];
    for (const byte of input) {
      while (this.#matched > 0 && byte !== keys[this.#matched]) this.#fallBack(out);
      if (byte !== keys[this.#matched]) out.push(byte);
      else if (++this.#matched === keys.length) {
        this.#matched = 0;
        return { pass: Uint8Array.from(out), detached: true };
      }
    }
    return { pass: Uint8Array.from(out), detached: false };
  }

  /** Gives up the longest held prefix, keeping the longest shorter one that still fits. */
  #fallBack(out: number[]): void {
    const held = this.#keys.subarray(0, this.#matched);
    for (let length = this.#matched - 1; length >= 0; length--) {
      if (held.subarray(this.#matched - length).every((byte, index) => byte === this.#keys[index])) {
        out.push(...held.subarray(0, this.#matched - length));
        this.#matched = length;
        return;
      }
    }
  }
}
