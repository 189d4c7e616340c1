import { promisify } from "node:util";
import { inflateRaw } from "node:zlib";
import type { OpenLog } from "./log-source.ts";

const inflate = promisify(inflateRaw);

/**
 * The form of a compressed log: gzip members of a mebibyte of text each, so that `zcat` reads it and the end can be read without the beginning.
 * Each header carries an extra field `LT` with two 32-bit numbers, the bytes of its member and those of its text.
 * https://www.rfc-editor.org/rfc/rfc1952#section-2.3
 */
export const MEMBER_TEXT = 1 << 20;
/** Bytes of a member's header, up to its deflated text. */
export const MEMBER_HEADER = 24;
/** CRC and length behind the text. */
export const MEMBER_TRAILER = 8;
const SIGNATURE = [0x1f, 0x8b, 8, 4];
const EXTRA = [12, 0, 0x4c, 0x54, 8, 0];

/** The header of a member of the given lengths. */
export function memberHeader(length: number, text: number): Uint8Array {
  const header = Buffer.alloc(MEMBER_HEADER);
  header.set(SIGNATURE);
  header[9] = 255;
  header.set(EXTRA, 10);
  header.writeUInt32LE(length, 16);
  header.writeUInt32LE(text, 20);
  return header;
}

/** Where a member lies, in the file and in the text. */
interface Member {
  at: number;
  length: number;
  from: number;
  text: number;
}

/** A compressed log that reads like the file that it was made of. */
export class PackedLog implements OpenLog {
  readonly #file: OpenLog;
  #members: Promise<Member[]> | undefined;
  #last: { member: Member; text: Promise<Uint8Array> } | undefined;

  constructor(file: OpenLog) {
    this.#file = file;
  }

  async read(block: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    const members = await this.#index();
    let done = 0;
    while (done < length) {
      const at = position + done;
      const member = members.find(({ from, text }) => at >= from && at < from + text);
      if (member === undefined) break;
      const text = await this.#textOf(member);
      const part = text.subarray(at - member.from, at - member.from + length - done);
      block.set(part, offset + done);
      done += part.length;
    }
    return { bytesRead: done };
  }

  async stat(): Promise<{ size: number; mtimeMs: number }> {
    const last = (await this.#index()).at(-1);
    return { size: last === undefined ? 0 : last.from + last.text, mtimeMs: (await this.#file.stat()).mtimeMs };
  }

  close(): void {
    this.#file.close();
  }

  #index(): Promise<Member[]> {
    return (this.#members ??= this.#readIndex());
  }

  async #readIndex(): Promise<Member[]> {
    const members: Member[] = [];
    const header = Buffer.alloc(MEMBER_HEADER);
    for (let at = 0, from = 0; ;) {
      const { bytesRead } = await this.#file.read(header, 0, MEMBER_HEADER, at);
      if (bytesRead < MEMBER_HEADER || SIGNATURE.some((byte, index) => header[index] !== byte)) return members;
      const length = header.readUInt32LE(16);
      const text = header.readUInt32LE(20);
      members.push({ at, length, from, text });
      at += length;
      from += text;
    }
  }

  #textOf(member: Member): Promise<Uint8Array> {
    if (this.#last?.member !== member) this.#last = { member, text: this.#inflate(member) };
    return this.#last.text;
  }

  async #inflate({ at, length, text }: Member): Promise<Uint8Array> {
    const packed = Buffer.allocUnsafe(length - MEMBER_HEADER - MEMBER_TRAILER);
    await this.#file.read(packed, 0, packed.length, at + MEMBER_HEADER);
    return await inflate(packed, { chunkSize: Math.max(text, 64) });
  }
}
