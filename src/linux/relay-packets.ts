import { ptr } from "bun:ffi";
import { ERRNO, errno, libc } from "./libc.ts";
import { NOBODY } from "./relay-slots.ts";

const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** Packets that are taken by one system call. */
const PACKETS = 32;
/** The most that a packet of conmon has after its stream byte. */
const PACKET_BYTES = 8 << 10;
const HEADER_BYTES = 8;
/** Sizes of the kernel's structures on 64-bit machines. */
const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
const LENGTH_AT = 56 / 4;

/** After this, other sources have their turn. */
const TURN_BYTES = 1 << 20;

/** What became of one turn. */
export interface Relayed {
  /** Bytes of output that were taken from the source. */
  bytes: number;
  /** What the target did not take of them, in the form that it is to have. */
  rest: Uint8Array | undefined;
  /** Nothing more will come. */
  ended: boolean;
}

/**
 * Passes packets (a byte that names the stream, then data) from a SOCK_SEQPACKET socket on to a stream socket, without waiting for either. Data is copied
 * once from the kernel and once to it: the packets of a batch are received side by side, and sent as they lie, with headers between them.
 */
export class PacketRelay {
  // Over buffers of their own: a small array moves when it is asked for its buffer.
  readonly #data = new Uint8Array(new ArrayBuffer(PACKETS * PACKET_BYTES));
  readonly #streams = new Uint8Array(new ArrayBuffer(PACKETS));
  readonly #headers = new DataView(new ArrayBuffer(PACKETS * HEADER_BYTES));
  readonly #received = new Uint32Array(new ArrayBuffer(PACKETS * MMSGHDR_BYTES));
  /** The same, of which only the first byte is copied. */
  readonly #counted = new Uint32Array(new ArrayBuffer(PACKETS * MMSGHDR_BYTES));
  readonly #receivedInto = new BigUint64Array(new ArrayBuffer(PACKETS * 2 * IOVEC_BYTES));
  /** A header and a piece for each packet, at most. */
  readonly #pieces = new BigUint64Array(new ArrayBuffer(PACKETS * 2 * IOVEC_BYTES));
  readonly #sent = new BigUint64Array(new ArrayBuffer(MMSGHDR_BYTES));
  readonly #sentLength = new Uint32Array(this.#sent.buffer);
  readonly #dataAt = ptr(this.#data);
  readonly #headersAt = ptr(this.#headers);

  constructor() {
    const messages = new BigUint64Array(this.#received.buffer);
    const counted = new BigUint64Array(this.#counted.buffer);
    const into = ptr(this.#receivedInto);
    const streams = ptr(this.#streams);
    for (let i = 0; i < PACKETS; i++) {
      this.#receivedInto.set([BigInt(streams + i), 1n, BigInt(this.#dataAt + i * PACKET_BYTES), BigInt(PACKET_BYTES)], i * 4);
      messages.set([0n, 0n, BigInt(into + i * 2 * IOVEC_BYTES), 2n], (i * MMSGHDR_BYTES) / 8);
      counted.set([0n, 0n, BigInt(into + i * 2 * IOVEC_BYTES), 1n], (i * MMSGHDR_BYTES) / 8);
    }
    this.#sent[2] = BigInt(ptr(this.#pieces));
  }

  /** One turn, of which nothing is copied where nobody takes it: until the source has no more for now, the target takes no more, or others should have a turn. */
  turn(source: number, target: number, framed: boolean, wants: (stream: number) => boolean): Relayed {
    const relayed: Relayed = { bytes: 0, rest: undefined, ended: false };
    const drops = target === NOBODY;
    while (relayed.bytes < TURN_BYTES) {
      const count = drops
        ? libc().recvmmsg(source, this.#counted, PACKETS, MSG_DONTWAIT | MSG_TRUNC, null)
        : libc().recvmmsg(source, this.#received, PACKETS, MSG_DONTWAIT, null);
      if (count < 0) {
        // A peer that went without reading all that it was sent is told of once, before what it has said itself.
        if (errno() === ERRNO.EINTR || errno() === ERRNO.ECONNRESET) continue;
        relayed.ended = errno() !== ERRNO.EAGAIN;
        break;
      }
      if (drops) this.#count(count, relayed);
      else this.#pass(count, target, framed, wants, relayed);
      if (relayed.ended || relayed.rest !== undefined || count < PACKETS) break;
    }
    return relayed;
  }

  #count(count: number, relayed: Relayed): void {
    for (let i = 0; i < count; i++) {
      const length = (this.#counted[(i * MMSGHDR_BYTES) / 4 + LENGTH_AT] ?? 0) - 1;
      if (length >= 0) relayed.bytes += length;
      else relayed.ended = true;
    }
  }

  #pass(count: number, target: number, framed: boolean, wants: (stream: number) => boolean, relayed: Relayed): void {
    let pieces = 0;
    let total = 0;
    let stream = -1;
    let header = -HEADER_BYTES;
    let frame = 0;
    let end = -1;
    for (let i = 0; i < count; i++) {
      const length = (this.#received[(i * MMSGHDR_BYTES) / 4 + LENGTH_AT] ?? 0) - 1;
      if (length < 0) {
        relayed.ended = true;
        break;
      }
      relayed.bytes += length;
      const its = this.#streams[i] ?? 0;
      if (length === 0 || !wants(its)) continue;
      if (framed && its !== stream) {
        stream = its;
        header += HEADER_BYTES;
        frame = 0;
        // Conmon's numbers are one more than Docker's.
        this.#headers.setUint32(header, (its - 1) << 24);
        this.#piece(pieces++, this.#headersAt + header, HEADER_BYTES);
        total += HEADER_BYTES;
        end = -1;
      }
      const start = i * PACKET_BYTES;
      if (start === end) this.#pieces[pieces * 2 - 1] = BigInt(Number(this.#pieces[pieces * 2 - 1]) + length);
      else this.#piece(pieces++, this.#dataAt + start, length);
      end = start + length;
      frame += length;
      total += length;
      if (framed) this.#headers.setUint32(header + 4, frame);
    }
    if (total === 0) return;
    const sent = this.#send(target, pieces);
    if (sent < total) relayed.rest = this.#rest(pieces, sent, total);
  }

  #piece(index: number, address: number, length: number): void {
    this.#pieces[index * 2] = BigInt(address);
    this.#pieces[index * 2 + 1] = BigInt(length);
  }

  /** How many bytes of the pieces the target took; none also where it fails: whoever gets the rest will see why. */
  #send(target: number, pieces: number): number {
    this.#sent[3] = BigInt(pieces);
    for (;;) {
      if (libc().sendmmsg(target, this.#sent, 1, MSG_DONTWAIT | MSG_NOSIGNAL) === 1) return this.#sentLength[LENGTH_AT] ?? 0;
      if (errno() !== ERRNO.EINTR) return 0;
    }
  }

  #rest(pieces: number, sent: number, total: number): Uint8Array {
    const rest = new Uint8Array(total - sent);
    const headers = new Uint8Array(this.#headers.buffer);
    let unsent = 0;
    let past = sent;
    for (let i = 0; i < pieces; i++) {
      const address = Number(this.#pieces[i * 2]);
      const length = Number(this.#pieces[i * 2 + 1]);
      const skipped = Math.min(length, past);
      past -= skipped;
      const isData = address >= this.#dataAt && address < this.#dataAt + this.#data.length;
      const start = address - (isData ? this.#dataAt : this.#headersAt);
      rest.set((isData ? this.#data : headers).subarray(start + skipped, start + length), unsent);
      unsent += length - skipped;
    }
    return rest;
  }
}
