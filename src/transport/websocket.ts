import type { ByteStream, Take } from "./byte-stream.ts";

/** What a server adds to a client's key before it is hashed. https://www.rfc-editor.org/rfc/rfc6455#section-1.3 */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const OPCODE = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
/** Status codes of a close. https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1 */
const NORMAL = 1000;
const PROTOCOL_ERROR = 1002;
const CONTROL_LIMIT = 125;

/** The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`. */
export function acceptKey(key: string): string {
  return new Bun.CryptoHasher("sha1").update(`${key}${GUID}`).digest("base64");
}

/** One frame's head as it was read. */
interface Frame {
  opcode: number;
  /** Bytes that are still to come. */
  left: number;
  mask: Uint8Array;
  /** How many bytes came. */
  taken: number;
  /** What a control frame carries. */
  payload: number[];
}

/**
 * The server's end of a WebSocket as a byte stream: each write is a message, messages' bytes are handed over as they come, pings are answered,
 * a close is answered and counts as the client's leaving.
 */
export class WebSocketStream implements ByteStream {
  readonly closed: Promise<void>;
  readonly #stream: ByteStream;
  readonly #opcode: number;
  readonly #left = Promise.withResolvers<void>();
  #head = new Uint8Array(0);
  #frame: Frame | undefined;
  #over = false;

  /** @param options.binary false for text frames, whatever the bytes are: what clients before API 1.28 know */
  constructor(stream: ByteStream, options: { binary: boolean }) {
    this.#stream = stream;
    this.#opcode = options.binary ? OPCODE.binary : OPCODE.text;
    this.closed = Promise.race([stream.closed, this.#left.promise]);
  }

  async read(take: Take): Promise<"end" | "closed"> {
    const how = await this.#stream.read((bytes) => this.#parse(bytes, take));
    return this.#over ? "closed" : how;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#over) return true;
    this.#stream.write(frameHead(this.#opcode, bytes.length));
    return this.#stream.write(bytes);
  }

  drained(): Promise<void> {
    return this.#stream.drained();
  }

  end(): void {
    this.#close(NORMAL);
    this.#stream.end();
  }

  destroy(): void {
    this.#stream.destroy();
  }

  #close(code: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream.write(frameHead(OPCODE.close, 2));
    this.#stream.write(Uint8Array.of(code >> 8, code & 0xff));
    this.#left.resolve();
  }

  async #parse(bytes: Uint8Array, take: Take): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 && !this.#over) {
      if (this.#frame === undefined) rest = this.#begin(rest);
      else rest = await this.#go(this.#frame, rest, take);
    }
  }

  /** Reads as much of a frame's head as is there; returns what follows it. */
  #begin(bytes: Uint8Array): Uint8Array {
    const all = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes]);
    const frame = headOf(all);
    if (frame === "more") {
      this.#head = Uint8Array.from(all);
      return all.subarray(all.length);
    }
    this.#head = new Uint8Array(0);
    if (frame === "wrong") {
      this.#close(PROTOCOL_ERROR);
      return all.subarray(all.length);
    }
    this.#frame = frame;
    if (frame.left === 0) this.#finish(frame);
    return all.subarray(frame.size);
  }

  async #go(frame: Frame, bytes: Uint8Array, take: Take): Promise<Uint8Array> {
    const piece = Uint8Array.from(bytes.subarray(0, frame.left));
    for (let at = 0; at < piece.length; at++) piece[at] = (piece[at] ?? 0) ^ (frame.mask[(frame.taken + at) % 4] ?? 0);
    frame.taken += piece.length;
    frame.left -= piece.length;
    if (frame.opcode >= OPCODE.close) frame.payload.push(...piece);
    else await take(piece);
    if (frame.left === 0) this.#finish(frame);
    return bytes.subarray(piece.length);
  }

  #finish(frame: Frame): void {
    this.#frame = undefined;
    if (frame.opcode === OPCODE.close) this.#close(NORMAL);
    if (frame.opcode !== OPCODE.ping) return;
    this.#stream.write(frameHead(OPCODE.pong, frame.payload.length));
    this.#stream.write(Uint8Array.from(frame.payload));
  }
}

/** A frame's head of a message in one frame, unmasked: what a server sends. https://www.rfc-editor.org/rfc/rfc6455#section-5.2 */
function frameHead(opcode: number, length: number): Uint8Array {
  if (length <= CONTROL_LIMIT) return Uint8Array.of(0x80 | opcode, length);
  const long = length > 0xffff;
  const head = new DataView(new ArrayBuffer(long ? 10 : 4));
  head.setUint8(0, 0x80 | opcode);
  head.setUint8(1, long ? 127 : 126);
  if (long) head.setBigUint64(2, BigInt(length));
  else head.setUint16(2, length);
  return new Uint8Array(head.buffer);
}

function headOf(bytes: Uint8Array): (Frame & { size: number }) | "more" | "wrong" {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return "more";
  const opcode = first & 0x0f;
  const control = opcode >= OPCODE.close;
  const short = second & 0x7f;
  // No extension was agreed on, and a client masks whatever it sends.
  if ((first & 0x70) !== 0 || (second & 0x80) === 0 || opcode > OPCODE.pong || (opcode > OPCODE.binary && !control)) return "wrong";
  if (control && ((first & 0x80) === 0 || short > CONTROL_LIMIT)) return "wrong";
  const extra = short === 127 ? 8 : short === 126 ? 2 : 0;
  const size = 2 + extra + 4;
  if (bytes.length < size) return "more";
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  const left = extra === 8 ? Number(view.getBigUint64(2)) : extra === 2 ? view.getUint16(2) : short;
  if (!Number.isSafeInteger(left)) return "wrong";
  return { opcode, left, mask: Uint8Array.from(bytes.subarray(2 + extra, size)), taken: 0, payload: [], size };
}
