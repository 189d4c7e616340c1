/** The head of an answer. */
export interface WireAnswer {
  status: number;
  location: string;
  /** Bytes of the body. */
  length: number;
}

/**
 * One keep-alive connection of HTTP/1.1 that costs as little as possible, so that a bench measures the server: bodies are counted, not kept.
 * Knows bodies with a length and chunked ones.
 */
export class Wire {
  #socket: Bun.Socket | undefined;
  #head = "";
  #left = 0;
  #isChunked = false;
  #answer: WireAnswer = { status: 0, location: "", length: 0 };
  #waiting: PromiseWithResolvers<WireAnswer> | undefined;
  #unsent: Uint8Array[] = [];

  static async open(port: number): Promise<Wire> {
    const wire = new Wire();
    const socket = {
      data: (_: unknown, bytes: Uint8Array) => wire.#take(bytes),
      drain: () => wire.#flush(),
      close: () => wire.#waiting?.reject(new Error("the server closed the connection")),
    };
    wire.#socket = await Bun.connect({ hostname: "127.0.0.1", port, socket });
    return wire;
  }

  /** Sends a request (its head without the empty line) and a body in pieces, and reads the answer to its end. */
  async ask(head: string, body: readonly Uint8Array[] = []): Promise<WireAnswer> {
    this.#waiting = Promise.withResolvers();
    this.#head = "";
    const length = body.reduce((sum, piece) => sum + piece.length, 0);
    this.#unsent.push(new TextEncoder().encode(`${head}\r\nHost: bench\r\nContent-Length: ${length}\r\n\r\n`), ...body);
    this.#flush();
    return await this.#waiting.promise;
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket?.end();
  }

  #flush(): void {
    while (this.#unsent[0] !== undefined && this.#socket !== undefined) {
      const wrote = this.#socket.write(this.#unsent[0]);
      if (wrote < this.#unsent[0].length) {
        this.#unsent[0] = this.#unsent[0].subarray(Math.max(wrote, 0));
        return;
      }
      this.#unsent.shift();
    }
  }

  #take(bytes: Uint8Array): void {
    if (this.#left > 0) {
      this.#left -= bytes.length;
      if (this.#left <= 0) this.#done();
      return;
    }
    this.#head += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    if (this.#isChunked) {
      // The end is all that counts; what came before needs not be kept.
      if (this.#head.endsWith("0\r\n\r\n")) this.#done();
      else this.#head = this.#head.slice(-8);
      return;
    }
    const end = this.#head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = this.#head.slice(0, end);
    const field = (name: string): string => new RegExp(`^${name}: *(.*)$`, "im").exec(head)?.[1]?.trim() ?? "";
    const length = Number(field("content-length") || 0);
    this.#answer = { status: Number(head.slice(9, 12)), location: field("location"), length };
    const rest = this.#head.length - end - 4;
    if (field("transfer-encoding") === "chunked") {
      this.#isChunked = true;
      if (this.#head.endsWith("0\r\n\r\n")) this.#done();
      return;
    }
    this.#left = length - rest;
    if (this.#left <= 0) this.#done();
  }

  #done(): void {
    this.#left = 0;
    this.#isChunked = false;
    this.#waiting?.resolve(this.#answer);
  }
}
