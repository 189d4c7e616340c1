import { LighterError } from "../base/errors.ts";
import type { TarSpan } from "./tar-entry.ts";
import { FIELD, latin1, readNumber } from "./tar-header.ts";
import { type PaxRecord, parsePaxNumber } from "./tar-pax.ts";

/** More runs than any real file has: a bound on what a hostile archive can make us hold. */
export const MOST_SPANS = 1_000_000;

/** Spans of an old GNU sparse header (type `S`): four in the header, 21 in each extension block, 24 bytes each. */
export function gnuSpans(block: Uint8Array, extension: boolean): { spans: TarSpan[]; more: boolean } {
  const spans: TarSpan[] = [];
  const start = extension ? 0 : FIELD.gnuSparse[0];
  for (let index = 0; index < (extension ? 21 : 4); index++) {
    const at = start + index * 24;
    if (block[at] === 0) break;
    spans.push({ offset: readNumber(block, [at, 12]), size: readNumber(block, [at + 12, 12]) });
  }
  return { spans, more: block[extension ? 504 : FIELD.gnuExtended[0]] === 1 };
}

/** What the `GNU.sparse.*` records of an extended header say. https://www.gnu.org/software/tar/manual/html_node/PAX-0.html */
export interface PaxSparse {
  /** Real name and size of the file. */
  name?: string;
  size?: number;
  /** The map, in versions 0.0 and 0.1; version 1.0 keeps it before the data. */
  spans?: TarSpan[];
}

/** Reads the sparse records; undefined when the entry is an ordinary file. */
export function paxSparse(records: readonly PaxRecord[]): PaxSparse | undefined {
  const sparse: PaxSparse = {};
  const numbers: number[] = [];
  let found = false;
  let major = 0;
  for (const { key, value } of records) {
    if (!key.startsWith("GNU.sparse.")) continue;
    found = true;
    const text = latin1(value);
    if (key === "GNU.sparse.name") sparse.name = text;
    else if (key === "GNU.sparse.major") major = parsePaxNumber(key, text);
    else if (key === "GNU.sparse.size" || key === "GNU.sparse.realsize") sparse.size = parsePaxNumber(key, text);
    else if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") numbers.push(parsePaxNumber(key, text));
    else if (key === "GNU.sparse.map" && text !== "") for (const part of text.split(",")) numbers.push(parsePaxNumber(key, part));
  }
  if (!found) return undefined;
  if (major === 0) sparse.spans = pairs(numbers);
  return sparse;
}

/** How many lines the map of PAX version 1.0 has that begins with this block: the count of its spans stands first. */
export function sparseMapLines(block: Uint8Array): number {
  const end = block.indexOf(0x0a);
  const count = end < 0 ? Number.NaN : Number(latin1(block, 0, end));
  if (!(count >= 0 && count <= MOST_SPANS)) throw new LighterError("invalid", "Cannot read the tar archive: a sparse map is malformed");
  return 1 + 2 * count;
}

/** Reads the map that stands before the data of a sparse file in PAX version 1.0: decimal lines, the count of spans first. */
export function sparseMap(data: Uint8Array): TarSpan[] {
  const numbers: number[] = [];
  const lines = sparseMapLines(data);
  let at = 0;
  while (numbers.length < lines) {
    const end = data.indexOf(0x0a, at);
    numbers.push(parsePaxNumber("GNU.sparse.map", latin1(data, at, end)));
    at = end + 1;
  }
  return pairs(numbers.slice(1));
}

/** Throws `invalid` unless the spans are in order, apart, inside the file, and as long together as what is stored. */
export function checkSpans(spans: readonly TarSpan[], size: number, stored: number): void {
  let end = 0;
  let total = 0;
  for (const span of spans) {
    if (span.offset < end || span.size < 0) throw new LighterError("invalid", "Cannot read the tar archive: a sparse map is out of order");
    end = span.offset + span.size;
    total += span.size;
  }
  if (end > size || total !== stored)
    throw new LighterError("invalid", `Cannot read the tar archive: a sparse map covers ${total} bytes of ${stored} stored ones`);
}

function pairs(numbers: readonly number[]): TarSpan[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * MOST_SPANS)
    throw new LighterError("invalid", "Cannot read the tar archive: a sparse map is malformed");
  return Array.from({ length: numbers.length / 2 }, (_, index) => ({ offset: numbers[2 * index] ?? 0, size: numbers[2 * index + 1] ?? 0 }));
}
