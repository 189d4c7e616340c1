import type { ByteString, TarEntry, TarSpan, TarType } from "./tar-entry.ts";
import { isAscii } from "./tar-entry.ts";
import { FIELD, type Field, paddingOf, TAR_BLOCK } from "./tar-header.ts";
import { encodePaxRecord, formatPaxTime, PAX_XATTR } from "./tar-pax.ts";

const LETTERS: Readonly<Record<TarType, string>> = { file: "0", link: "1", symlink: "2", char: "3", block: "4", directory: "5", fifo: "6" };

/** The two zero blocks that end an archive. */
export const TAR_END = new Uint8Array(2 * TAR_BLOCK);

const ZEROS = new Uint8Array(TAR_BLOCK);

/** The zeros that follow `size` bytes of a file. */
export function tarPadding(size: number): Uint8Array {
  return ZEROS.subarray(0, paddingOf(size));
}

/**
 * The header of a member: one ustar block, with a PAX extended header before it for all that ustar cannot say.
 * The same entry always gives the same bytes. The file's bytes and {@link tarPadding} follow. With `spans` it becomes a sparse file of
 * PAX version 1.0, its map included, and only the bytes of the spans follow, padded by their sum.
 * https://www.gnu.org/software/tar/manual/html_node/PAX-1.html
 */
export function tarHeader(entry: TarEntry): Uint8Array {
  return entry.spans === undefined || entry.type !== "file" ? headerOf(entry) : sparseHeader(entry, entry.spans);
}

function sparseHeader(entry: TarEntry, spans: readonly TarSpan[]): Uint8Array {
  const last = spans.at(-1);
  // As GNU tar: a hole at the end is closed by an empty run.
  const closed = last !== undefined && last.offset + last.size === entry.size ? spans : [...spans, { offset: entry.size, size: 0 }];
  const lines = [closed.length, ...closed.flatMap(({ offset, size }) => [offset, size])];
  const map = Buffer.from(`${lines.join("\n")}\n`);
  const size = map.length + paddingOf(map.length) + spanBytes(spans);
  const cut = entry.path.lastIndexOf("/") + 1;
  const path = `${entry.path.slice(0, cut)}GNUSparseFile.0/${entry.path.slice(cut)}`;
  const records: [string, Uint8Array][] = [
    ["GNU.sparse.major", Buffer.from("1")],
    ["GNU.sparse.minor", Buffer.from("0")],
    ["GNU.sparse.name", Buffer.from(entry.path, "latin1")],
    ["GNU.sparse.realsize", Buffer.from(String(entry.size))],
  ];
  return Buffer.concat([headerOf({ ...entry, path, size }, records), map, tarPadding(map.length)]);
}

/** Bytes that the spans of a sparse file hold together. */
export function spanBytes(spans: readonly TarSpan[]): number {
  return spans.reduce((sum, { size }) => sum + size, 0);
}

function headerOf(entry: TarEntry, more: readonly [string, Uint8Array][] = []): Uint8Array {
  const records = new Map<string, Uint8Array>(more);
  const block = new Uint8Array(TAR_BLOCK);
  const size = entry.type === "file" ? entry.size : 0;
  const device = entry.type === "char" || entry.type === "block";
  const seconds = floorSeconds(entry.mtime);
  putName(block, records, entry.path);
  putText(block, records, FIELD.link, "linkpath", entry.link);
  putNumber(block, records, FIELD.mode, "", entry.mode & 0o7777);
  putNumber(block, records, FIELD.uid, "uid", entry.uid);
  putNumber(block, records, FIELD.gid, "gid", entry.gid);
  putNumber(block, records, FIELD.size, "size", size);
  putNumber(block, records, FIELD.mtime, "mtime", Number(seconds));
  putText(block, records, FIELD.user, "uname", entry.user);
  putText(block, records, FIELD.group, "gname", entry.group);
  if (device) putNumber(block, records, FIELD.major, "SCHILY.devmajor", entry.major);
  if (device) putNumber(block, records, FIELD.minor, "SCHILY.devminor", entry.minor);
  if (seconds * NANOS !== entry.mtime) records.set("mtime", Buffer.from(formatPaxTime(entry.mtime)));
  if (entry.atime !== undefined) records.set("atime", Buffer.from(formatPaxTime(entry.atime)));
  for (const [name, value] of entry.xattrs ?? []) records.set(PAX_XATTR + name, value);
  seal(block, LETTERS[entry.type]);
  return records.size === 0 ? block : Buffer.concat([extendedHeader(entry.path, records), block]);
}

const NANOS = 1_000_000_000n;

function floorSeconds(time: bigint): bigint {
  return (time - (((time % NANOS) + NANOS) % NANOS)) / NANOS;
}

function put(block: Uint8Array, [offset, length]: Field, text: ByteString): void {
  block.set(Buffer.from(text.slice(0, length), "latin1"), offset);
}

function putText(block: Uint8Array, records: Map<string, Uint8Array>, field: Field, key: string, text: ByteString): void {
  const room = key === "linkpath" ? field[1] : field[1] - 1;
  if (text.length > room || !isAscii(text)) records.set(key, Buffer.from(text, "latin1"));
  else put(block, field, text);
}

/** Octal where it fits; zeros and a record otherwise. */
function putNumber(block: Uint8Array, records: Map<string, Uint8Array>, field: Field, key: string, value: number): void {
  const digits = field[1] - 1;
  const fits = value >= 0 && value < 8 ** digits;
  if (!fits) records.set(key, Buffer.from(String(value)));
  put(block, field, (fits ? value : 0).toString(8).padStart(digits, "0"));
}

function putName(block: Uint8Array, records: Map<string, Uint8Array>, path: ByteString): void {
  const cut = isAscii(path) ? splitAt(path) : undefined;
  if (cut === undefined) {
    records.set("path", Buffer.from(path, "latin1"));
    put(block, FIELD.name, path.replaceAll(/[^\x20-\x7e]/g, "_"));
    return;
  }
  if (cut > 0) put(block, FIELD.prefix, path.slice(0, cut));
  put(block, FIELD.name, cut > 0 ? path.slice(cut + 1) : path);
}

/** Where ustar may cut a path in prefix and name: 0 for no cut, undefined when it is too long. */
function splitAt(path: ByteString): number | undefined {
  if (path.length <= FIELD.name[1]) return 0;
  const cut = path.lastIndexOf("/", FIELD.prefix[1]);
  const name = path.length - cut - 1;
  return cut > 0 && name > 0 && name <= FIELD.name[1] ? cut : undefined;
}

function extendedHeader(path: ByteString, records: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const sorted = [...records].sort(([a], [b]) => (a < b ? -1 : 1));
  const body = Buffer.concat(sorted.map(([key, value]) => encodePaxRecord(key, value)));
  const block = new Uint8Array(TAR_BLOCK);
  const base = path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  put(block, FIELD.name, `PaxHeaders.0/${base.replaceAll(/[^\x20-\x7e]/g, "_")}`.slice(0, FIELD.name[1]));
  put(block, FIELD.mode, "0000644");
  put(block, FIELD.uid, "0000000");
  put(block, FIELD.gid, "0000000");
  put(block, FIELD.size, body.length.toString(8).padStart(11, "0"));
  put(block, FIELD.mtime, "00000000000");
  seal(block, "x");
  return Buffer.concat([block, body, tarPadding(body.length)]);
}

/** Type, magic and checksum. */
function seal(block: Uint8Array, letter: string): void {
  put(block, FIELD.type, letter);
  put(block, FIELD.magic, "ustar\x0000");
  put(block, FIELD.checksum, "        ");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(block, FIELD.checksum, `${sum.toString(8).padStart(6, "0")}\0 `);
}
