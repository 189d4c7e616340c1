import { LighterError } from "../base/errors.ts";

/** ctrl-p, then ctrl-q: what leaves a container unless something else is asked for. */
export const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

const CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_";

/** The bytes of a key sequence such as `ctrl-p,ctrl-q` or `a,ctrl-\`. Throws `invalid` for an unknown key. */
export function parseDetachKeys(text: string): number[] {
  return text.split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const code = key.startsWith("ctrl-") && key.length === 6 ? CONTROL.indexOf(key[5] ?? "") : -1;
    if (code < 0) throw new LighterError("invalid", `Unknown character: '${key}'`);
    return code;
  });
}

/** Watches what is typed for the key sequence. Bytes that might begin it are held back until it is clear that they do not. */
export class DetachWatch {
  readonly #keys: readonly number[];
  #matched = 0;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** The bytes that may pass, and whether the sequence is complete. */
  pass(bytes: Uint8Array): { bytes: Uint8Array; detached: boolean } {
    if (this.#matched === 0 && !bytes.includes(this.#keys[0] ?? -1)) return { bytes, detached: false };
    const out: number[] = [];
    for (const byte of bytes) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) return { bytes: Uint8Array.from(out), detached: true };
        continue;
      }
      out.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) out.push(byte);
    }
    return { bytes: Uint8Array.from(out), detached: false };
  }
}
