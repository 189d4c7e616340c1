import { LighterError } from "../base/errors.ts";
import type { TarEntry, TarType } from "./tar-entry.ts";
import { checksumHolds, FIELD, isZeroBlock, latin1, paddingOf, readNumber, readText, TAR_BLOCK } from "./tar-header.ts";
import { PAX_XATTR, type PaxRecord, parsePax, parsePaxNumber, parsePaxTime } from "./tar-pax.ts";
import { checkSpans, gnuSpans, MOST_SPANS, type PaxSparse, paxSparse, sparseMap, sparseMapLines } from "./tar-sparse.ts";

/** Long names and extended headers past this many bytes are refused: nobody's, and they would be held in memory. */
const MOST_META = 8 << 20;

/** The highest uid and gid; one more means "leave it" to chown(2). */
const LAST_ID = 2 ** 32 - 2;

const TYPES: Readonly<Record<string, TarType>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  S: "file",
  "1": "link",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  D: "directory",
  "6": "fifo",
};

/** What a {@link TarParser} finds, in the order of the archive. The bytes given to `data` are only good during the call. */
export interface TarSink {
  /** A member begins. */
  entry(entry: TarEntry): void;
  /** Bytes of the member's file, at their place in it. Holes of sparse files are skipped. */
  data(bytes: Uint8Array, offset: number): void;
  /** The member is complete. */
  end(entry: TarEntry): void;
}

type State = "header" | "meta" | "extension" | "map" | "data" | "skip" | "done";

/**
 * Reads a tar archive from pieces of any size: V7, ustar, PAX and GNU, with long names, sparse files and extended attributes.
 * It calls back synchronously and buffers nothing of the files. Throws `invalid` for what is not an archive.
 */
export class TarParser {
  readonly #sink: TarSink;
  readonly #carry = new Uint8Array(TAR_BLOCK);
  #carried = 0;
  #state: State = "header";
  /** Bytes of the current body that are still to come, and zeros after it. */
  #left = 0;
  #padding = 0;
  #meta: Uint8Array[] = [];
  #metaType = "";
  #global: PaxRecord[] = [];
  #local: PaxRecord[] = [];
  #longName: string | undefined;
  #longLink: string | undefined;
  #entry: TarEntry | undefined;
  #stored = 0;
  /** Lines of a sparse map that are still to come. */
  #mapLines = 0;
  #position = 0;
  #span = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** Whether the two zero blocks that end an archive were seen. */
  get done(): boolean {
    return this.#state === "done";
  }

  /** Takes the next bytes of the archive. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && this.#state !== "done") {
      if (this.#state === "data" || this.#state === "skip" || this.#state === "meta") at += this.#body(chunk, at);
      else at += this.#gather(chunk, at);
    }
  }

  /** Says that no more bytes come. Throws `invalid` when the archive was cut short inside of a member. */
  finish(): void {
    const boundary = this.#state === "header" && this.#carried === 0 && this.#local.length === 0 && this.#longName === undefined;
    if (this.#state !== "done" && !boundary) throw new LighterError("invalid", "Cannot read the tar archive: unexpected EOF");
  }

  /** Takes a whole block, from the chunk itself where it holds one. */
  #gather(chunk: Uint8Array, at: number): number {
    if (this.#carried === 0 && chunk.length - at >= TAR_BLOCK) {
      this.#block(chunk.subarray(at, at + TAR_BLOCK));
      return TAR_BLOCK;
    }
    const take = Math.min(TAR_BLOCK - this.#carried, chunk.length - at);
    this.#carry.set(chunk.subarray(at, at + take), this.#carried);
    this.#carried += take;
    if (this.#carried === TAR_BLOCK) {
      this.#carried = 0;
      this.#block(this.#carry);
    }
    return take;
  }

  #block(block: Uint8Array): void {
    if (this.#state === "header") this.#header(block);
    else if (this.#state === "extension") this.#extension(block);
    else this.#mapBlock(block);
  }

  #header(block: Uint8Array): void {
    if (block[0] === 0 && isZeroBlock(block)) {
      this.#state = "done";
      return;
    }
    if (!checksumHolds(block)) throw new LighterError("invalid", "Cannot read the tar archive: invalid tar header");
    const type = String.fromCharCode(block[FIELD.type[0]] ?? 0);
    const size = readNumber(block, FIELD.size);
    if (size < 0) throw new LighterError("invalid", "Cannot read the tar archive: a member has a negative size");
    if (type === "x" || type === "g" || type === "X" || type === "L" || type === "K") this.#beginMeta(type, size);
    else if (TYPES[type] === undefined) this.#skip(size);
    else this.#member(block, type, size);
  }

  #beginMeta(type: string, size: number): void {
    if (size > MOST_META) throw new LighterError("invalid", `Cannot read the tar archive: an extended header of ${size} bytes is too long`);
    this.#metaType = type;
    this.#meta = [];
    this.#enter("meta", size);
    if (size === 0) this.#bodyDone();
  }

  #skip(size: number): void {
    this.#forget();
    this.#enter("skip", size);
    if (size === 0) this.#bodyDone();
  }

  #enter(state: State, size: number): void {
    this.#state = state;
    this.#left = size;
    this.#padding = paddingOf(size);
  }

  #member(block: Uint8Array, letter: string, size: number): void {
    const entry = plainEntry(block, letter, size);
    if (this.#longName !== undefined) entry.path = this.#longName;
    if (this.#longLink !== undefined) entry.link = this.#longLink;
    const records = this.#global.length === 0 ? this.#local : [...this.#global, ...this.#local];
    let stored = applyPax(entry, records);
    const sparse = letter === "S" ? undefined : paxSparse(records);
    if (entry.type === "file" && sparse === undefined && stored === 0 && entry.path.endsWith("/")) entry.type = "directory";
    if (entry.type !== "file") entry.size = 0;
    // Only GNU's `D` lists the names of its directory behind the header; the size of other types means nothing.
    if (entry.type !== "file" && letter !== "D") stored = 0;
    this.#forget();
    this.#entry = entry;
    this.#stored = stored;
    if (letter === "S") this.#oldSparse(block, entry);
    else if (entry.type === "file" && sparse !== undefined) this.#newSparse(entry, sparse);
    else this.#begin();
  }

  #oldSparse(block: Uint8Array, entry: TarEntry): void {
    const { spans, more } = gnuSpans(block, false);
    entry.spans = spans;
    entry.size = readNumber(block, FIELD.gnuRealSize);
    if (more) this.#state = "extension";
    else this.#begin();
  }

  #extension(block: Uint8Array): void {
    const { spans, more } = gnuSpans(block, true);
    const all = this.#entry?.spans ?? [];
    for (const span of spans) all.push(span);
    if (all.length > MOST_SPANS) throw new LighterError("invalid", "Cannot read the tar archive: a sparse map does not end");
    if (!more) this.#begin();
  }

  #newSparse(entry: TarEntry, sparse: PaxSparse): void {
    if (sparse.name !== undefined) entry.path = sparse.name;
    if (sparse.size !== undefined) entry.size = sparse.size;
    if (sparse.spans !== undefined) {
      entry.spans = sparse.spans;
      return this.#begin();
    }
    this.#meta = [];
    this.#state = "map";
  }

  #mapBlock(block: Uint8Array): void {
    this.#meta.push(block.slice());
    const bytes = this.#meta.length * TAR_BLOCK;
    if (bytes > MOST_META || bytes > this.#stored)
      throw new LighterError("invalid", "Cannot read the tar archive: a sparse map does not end");
    if (this.#meta.length === 1) this.#mapLines = sparseMapLines(block);
    for (const byte of block) if (byte === 0x0a) this.#mapLines--;
    if (this.#mapLines > 0) return;
    if (this.#entry !== undefined) this.#entry.spans = sparseMap(Buffer.concat(this.#meta));
    this.#stored -= bytes;
    this.#begin();
  }

  #begin(): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    if (entry.size < 0 || this.#stored < 0) throw new LighterError("invalid", "Cannot read the tar archive: a member has a negative size");
    if (entry.spans !== undefined) checkSpans(entry.spans, entry.size, this.#stored);
    this.#position = 0;
    this.#span = 0;
    this.#sink.entry(entry);
    this.#enter("data", this.#stored);
    if (this.#stored === 0) this.#bodyDone();
  }

  /** Takes what the chunk has of the current body, then of the zeros after it. */
  #body(chunk: Uint8Array, at: number): number {
    if (this.#left > 0) {
      const take = Math.min(this.#left, chunk.length - at);
      if (this.#state === "data") this.#data(chunk.subarray(at, at + take));
      else if (this.#state === "meta") this.#meta.push(chunk.slice(at, at + take));
      this.#left -= take;
      if (this.#left === 0 && this.#padding === 0) this.#bodyDone();
      return take;
    }
    const take = Math.min(this.#padding, chunk.length - at);
    this.#padding -= take;
    if (this.#padding === 0) this.#bodyDone();
    return take;
  }

  #data(bytes: Uint8Array): void {
    if (this.#entry?.type !== "file") return;
    const spans = this.#entry.spans;
    if (spans === undefined) {
      this.#sink.data(bytes, this.#position);
      this.#position += bytes.length;
      return;
    }
    let at = 0;
    while (at < bytes.length) {
      const span = spans[this.#span];
      if (span === undefined) return;
      const take = Math.min(span.size - this.#position, bytes.length - at);
      if (take > 0) this.#sink.data(bytes.subarray(at, at + take), span.offset + this.#position);
      at += take;
      this.#position += take;
      if (this.#position < span.size) continue;
      this.#span++;
      this.#position = 0;
    }
  }

  #bodyDone(): void {
    const state = this.#state;
    this.#state = "header";
    if (state === "data" && this.#entry !== undefined) this.#sink.end(this.#entry);
    if (state === "meta") this.#endMeta(Buffer.concat(this.#meta));
    this.#entry = state === "data" ? undefined : this.#entry;
  }

  #endMeta(data: Uint8Array): void {
    this.#meta = [];
    if (this.#metaType === "g") this.#global = parsePax(data);
    else if (this.#metaType === "L") this.#longName = untilNul(data);
    else if (this.#metaType === "K") this.#longLink = untilNul(data);
    else this.#local = parsePax(data);
  }

  #forget(): void {
    this.#local = [];
    this.#longName = this.#longLink = undefined;
  }
}

function untilNul(data: Uint8Array): string {
  const end = data.indexOf(0);
  return latin1(data, 0, end < 0 ? data.length : end);
}

/** The entry that the header block alone describes. */
function plainEntry(block: Uint8Array, letter: string, size: number): TarEntry {
  // "ustar\0" and "00"; GNU writes "ustar  " and keeps other things where the prefix is.
  const ustar = block[257] === 0x75 && block[258] === 0x73 && block[259] === 0x74 && block[260] === 0x61 && block[261] === 0x72;
  const posix = ustar && block[262] === 0;
  const name = readText(block, FIELD.name);
  const prefix = posix && block[FIELD.prefix[0]] !== 0 ? readText(block, FIELD.prefix) : "";
  const type = TYPES[letter] ?? "file";
  const device = type === "char" || type === "block";
  return {
    type,
    path: prefix === "" ? name : `${prefix}/${name}`,
    link: type === "link" || type === "symlink" ? readText(block, FIELD.link) : "",
    mode: readNumber(block, FIELD.mode) & 0o7777,
    uid: readNumber(block, FIELD.uid),
    gid: readNumber(block, FIELD.gid),
    user: ustar ? readText(block, FIELD.user) : "",
    group: ustar ? readText(block, FIELD.group) : "",
    size,
    mtime: BigInt(readNumber(block, FIELD.mtime)) * 1_000_000_000n,
    major: device ? readNumber(block, FIELD.major) : 0,
    minor: device ? readNumber(block, FIELD.minor) : 0,
  };
}

/** Overlays the records on the entry; returns the bytes that are stored in the archive. An empty value means "as in the block". */
function applyPax(entry: TarEntry, records: readonly PaxRecord[]): number {
  let stored = entry.size;
  for (const { key, value } of records) {
    if (key.startsWith(PAX_XATTR)) {
      (entry.xattrs ??= new Map()).set(key.slice(PAX_XATTR.length), value);
      continue;
    }
    const text = latin1(value);
    if (text === "") continue;
    if (text.includes("\0")) throw new LighterError("invalid", `Cannot read the tar archive: "${key}" of an extended header holds a NUL`);
    if (key === "path") entry.path = text;
    else if (key === "linkpath") entry.link = text;
    else if (key === "size") stored = entry.size = parsePaxNumber(key, text);
    else if (key === "uid") entry.uid = parsePaxNumber(key, text);
    else if (key === "gid") entry.gid = parsePaxNumber(key, text);
    else if (key === "uname") entry.user = text;
    else if (key === "gname") entry.group = text;
    else if (key === "mtime") entry.mtime = parsePaxTime(text);
    else if (key === "atime") entry.atime = parsePaxTime(text);
    else if (key === "SCHILY.devmajor") entry.major = parsePaxNumber(key, text);
    else if (key === "SCHILY.devminor") entry.minor = parsePaxNumber(key, text);
  }
  if (stored < 0) throw new LighterError("invalid", "Cannot read the tar archive: a member has a negative size");
  for (const id of [entry.uid, entry.gid])
    if (id < 0 || id > LAST_ID) throw new LighterError("invalid", `Cannot read the tar archive: ${id} is not a user or group id`);
  return stored;
}

/** A member with its bytes. */
export interface TarMember {
  entry: TarEntry;
  /** The stored bytes with their places in the file; what is left unread is skipped. */
  body: TarPiece[];
  /** Whether this is the last part of the member: long files come in several parts, one for each chunk of the source. */
  last: boolean;
}

/** Some bytes of a file and their place in it. */
export interface TarPiece {
  offset: number;
  bytes: Uint8Array;
}

/**
 * Reads an archive from a stream, part by part: a member comes at least once, and again for each chunk of the source that goes on with it,
 * so that nothing piles up. The bytes stay good as long as the source's chunks do. Throws `invalid`.
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  let ready: TarMember[] = [];
  let open: TarMember | undefined;
  const parser = new TarParser({
    entry: (entry) => void (open = { entry, body: [], last: false }),
    data: (bytes, offset) => void open?.body.push({ offset, bytes }),
    end: () => {
      if (open !== undefined) ready.push({ ...open, last: true });
      open = undefined;
    },
  });
  for await (const chunk of source) {
    parser.push(chunk);
    const parts = ready;
    ready = [];
    yield* parts;
    const partial = open as TarMember | undefined;
    if (partial === undefined) continue;
    open = { entry: partial.entry, body: [], last: false };
    yield partial;
  }
  parser.finish();
}

/** The whole body of a sparse or ordinary file from its pieces, where it is small enough to be held. */
export function joinPieces(pieces: readonly TarPiece[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  for (const { offset, bytes } of pieces) whole.set(bytes, offset);
  return whole;
}
