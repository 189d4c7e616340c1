import { LighterError } from "../base/errors.ts";
import type { ByteString } from "./tar-entry.ts";

/** Archives are made of blocks of this many bytes. */
export const TAR_BLOCK = 512;

/**
 * Where the fields of a header block stand: [offset, length].
 * https://www.gnu.org/software/tar/manual/html_node/Standard.html
 */
export const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  link: [157, 100],
  magic: [257, 8],
  user: [265, 32],
  group: [297, 32],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
  gnuAtime: [345, 12],
  gnuSparse: [386, 96],
  gnuExtended: [482, 1],
  gnuRealSize: [483, 12],
} as const satisfies Record<string, readonly [number, number]>;

/** Offset and length in a block. */
export type Field = readonly [number, number];

/** The bytes of a text field up to its first NUL. */
export function readText(block: Uint8Array, [offset, length]: Field): ByteString {
  let end = offset;
  while (end < offset + length && block[end] !== 0) end++;
  return latin1(block, offset, end);
}

/** Bytes as a string of the same length. */
export function latin1(bytes: Uint8Array, start = 0, end = bytes.length): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}

/** A number: octal digits between blanks and NULs, or base 256 with the top bit of the first byte set. Throws `invalid`. */
export function readNumber(block: Uint8Array, [offset, length]: Field): number {
  const first = block[offset] ?? 0;
  if (first >= 0x80) return readBinary(block, offset, length);
  let value = 0;
  let digits = 0;
  for (let index = offset; index < offset + length; index++) {
    const byte = block[index] ?? 0;
    if (byte === 0 || byte === 0x20) {
      if (digits > 0) break;
      continue;
    }
    if (byte < 0x30 || byte > 0x37)
      throw new LighterError("invalid", `Cannot read the tar archive: a number at byte ${offset} of a header is not octal`);
    value = value * 8 + (byte - 0x30);
    digits++;
  }
  return value;
}

/** Two's complement, big-endian, its top bit replaced by the marker bit. */
function readBinary(block: Uint8Array, offset: number, length: number): number {
  const first = block[offset] ?? 0;
  const negative = (first & 0x40) !== 0;
  let value = BigInt(negative ? (first | 0x80) - 256 : first & 0x7f);
  for (let index = offset + 1; index < offset + length; index++) value = value * 256n + BigInt(block[index] ?? 0);
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new LighterError("invalid", "Cannot read the tar archive: a number of a header is out of range");
  return number;
}

/** Whether a block holds nothing but zeros: two of them end an archive. */
export function isZeroBlock(block: Uint8Array): boolean {
  for (let index = 0; index < TAR_BLOCK; index++) if (block[index] !== 0) return false;
  return true;
}

/** Whether the checksum of a header fits; old writers summed signed bytes. */
export function checksumHolds(block: Uint8Array): boolean {
  const [start, length] = FIELD.checksum;
  let unsigned = 0x20 * length;
  let high = 0;
  for (let index = 0; index < TAR_BLOCK; index++) {
    if (index === start) index += length;
    const byte = block[index] ?? 0;
    unsigned += byte;
    if (byte > 127) high++;
  }
  const stored = readNumber(block, FIELD.checksum);
  return stored === unsigned || stored === unsigned - 256 * high;
}

/** Bytes that fill up the last block of `size` bytes of data. */
export function paddingOf(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}
