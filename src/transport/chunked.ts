/** Longest line of a chunk's size with its extensions, and of a trailer. */
const LINE_LIMIT = 8192;

/** Decodes a chunked body as it arrives. https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
export class ChunkedDecoder {
  #state: "size" | "data" | "after" | "trailer" = "size";
  #left = 0;
  #line = "";

  /**
   * Takes the next bytes and hands payload to `sink` in views of them. Returns what follows the body once it is complete, undefined before.
   * Throws `SyntaxError` for what is not chunks.
   */
  push(bytes: Uint8Array, sink: (payload: Uint8Array) => void): Uint8Array | undefined {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === "data") {
        const size = Math.min(this.#left, bytes.length - at);
        sink(bytes.subarray(at, at + size));
        at += size;
        this.#left -= size;
        if (this.#left === 0) this.#state = "after";
        continue;
      }
      const end = bytes.indexOf(10, at);
      this.#line += Buffer.from(bytes.subarray(at, end < 0 ? bytes.length : end)).toString("latin1");
      if (this.#line.length > LINE_LIMIT) throw new SyntaxError("a line of the chunked body is too long");
      if (end < 0) return undefined;
      at = end + 1;
      const line = this.#line.endsWith("\r") ? this.#line.slice(0, -1) : this.#line;
      this.#line = "";
      if (this.#takeLine(line)) return bytes.subarray(at);
    }
    return undefined;
  }

  #takeLine(line: string): boolean {
    if (this.#state === "trailer") return line === "";
    if (this.#state === "after") {
      if (line !== "") throw new SyntaxError("a chunk is longer than it says");
      this.#state = "size";
      return false;
    }
    const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line)?.[1];
    if (size === undefined) throw new SyntaxError("a chunk's size is not a hexadecimal number");
    this.#left = parseInt(size, 16);
    this.#state = this.#left === 0 ? "trailer" : "data";
    return false;
  }
}
