/** Values in ASN.1's distinguished encoding, as far as certificates need it (X.690). */
export type Der = Uint8Array;

/** A value of a tag with its length before it. */
export function der(tag: number, ...parts: readonly Der[]): Der {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, ...lengthOf(body.length)]), body]);
}

export function sequence(...parts: readonly Der[]): Der {
  return der(0x30, ...parts);
}

/** A whole number of big-endian bytes, never negative. */
export function integer(bytes: Uint8Array): Der {
  return der(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

/** `1.2.840.10045.4.3.2`. */
export function objectId(text: string): Der {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  return der(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** Text in UTF-8. */
export function utf8(text: string): Der {
  return der(0x0c, Buffer.from(text));
}

/** A moment, from year 2000 to 9999. */
export function time(moment: Date): Der {
  const digits = moment.toISOString().replace(/[-:T]|\.\d+/g, "");
  return moment.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

export function bits(bytes: Uint8Array, unused = 0): Der {
  return der(0x03, Buffer.from([unused]), bytes);
}

function lengthOf(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>= 8) bytes.unshift(rest & 0xff);
  return [0x80 | bytes.length, ...bytes];
}

function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let rest = value >> 7; rest > 0; rest >>= 7) bytes.unshift((rest & 0x7f) | 0x80);
  return bytes;
}
