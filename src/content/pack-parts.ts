import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import type { Digest } from "../oci/image.ts";
import type { ByteString } from "../oci/tar-entry.ts";
import { spaced } from "./spaced.ts";
import type { JobContext } from "./job.ts";
import { packTo, type PackArgs, type TarCuts, type TarTaker } from "./pack-tree.ts";

/** What to pack, and the directory for the parts. */
export interface PackPartsArgs extends PackArgs {
  into: string;
  /** Unpacked bytes from which on a part may end, in place of the usual ones. */
  least?: number;
}

/** One of several archives of a tree: a tar, packed with zstd. */
export interface PackedPart {
  path: string;
  digest: Digest;
  /** Bytes of the file. */
  size: number;
}

const LEAST = 32 << 20;
/** A part ends at the latest where a member would make it larger than this many times the least, unless it is that member alone. */
const MOST = 4;
/** Of so many names one is a place where a part may end. */
const ONE_IN = 8;
/** After so many parts the next are twice as large: the list of them has to stay short. */
const DOUBLED_AFTER = 256;

/**
 * Packs a tree as several archives; values on the line are {@link PackedPart}s, in the order in which they are to be unpacked. Where a part ends is decided by
 * names: a change in one part leaves most of the others as they are, byte by byte. Blocks its Worker while it compresses.
 */
export async function packPartsJob({ into, least = LEAST, ...args }: PackPartsArgs, context: JobContext): Promise<void> {
  const parts = new Parts(into, least, async (part) => await context.port.send(part));
  try {
    await packTo(parts, args, context, parts);
    await parts.next();
  } finally {
    await parts.close();
  }
  context.port.end();
}

class Parts implements TarTaker, TarCuts {
  readonly #into: string;
  readonly #base: number;
  readonly #done: (part: PackedPart) => Promise<void>;
  #count = 0;
  /** Unpacked bytes in this part. */
  #filled = 0;
  #file: FileHandle | undefined;
  #hash = new Bun.CryptoHasher("sha256");
  #size = 0;

  constructor(into: string, least: number, done: (part: PackedPart) => Promise<void>) {
    this.#into = into;
    this.#base = least;
    this.#done = done;
  }

  due(path: ByteString, size: number): boolean {
    const least = this.#base * 2 ** Math.floor(this.#count / DOUBLED_AFTER);
    const ends = this.#filled + size > least * MOST || (this.#filled >= least && Bun.hash.crc32(path) % ONE_IN === 0);
    const due = ends && this.#filled > 0;
    this.#filled = (due ? 0 : this.#filled) + size + HEADER;
    return due;
  }

  async send(piece: Uint8Array): Promise<void> {
    // Each piece a frame of its own, which all readers take: the same tree gives the same bytes.
    const frame = zstdCompressSync(piece);
    this.#file ??= await open(this.#path, "wx", 0o600);
    this.#hash.update(frame);
    this.#size += frame.length;
    await this.#file.appendFile(frame).catch((error: unknown) => {
      throw spaced(error, "Cannot pack");
    });
  }

  async next(): Promise<void> {
    const part: PackedPart = { path: this.#path, digest: `sha256:${this.#hash.digest("hex")}`, size: this.#size };
    await this.close();
    this.#hash = new Bun.CryptoHasher("sha256");
    this.#size = 0;
    this.#count++;
    await this.#done(part);
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  get #path(): string {
    return join(this.#into, `part-${this.#count}`);
  }
}

/** Bytes that a member takes besides its content, about. */
const HEADER = 1024;
