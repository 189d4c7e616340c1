/** For tests: archives that a seed makes up, sound, damaged and hostile ones. */
import { FIELD, paddingOf, TAR_BLOCK } from "./tar-header.ts";
import { encodePaxRecord } from "./tar-pax.ts";

/** A random number from 0 up to, but not `below`. */
export type Random = (below: number) => number;

const NAMES = [
  "a",
  "b",
  "d/",
  "d/e",
  "./a",
  "/abs",
  "../up",
  "d/../../up",
  "a/b/c",
  ".wh.a",
  "d/.wh..wh..opq",
  ".wh..wh.x",
  "",
  ".",
  "..",
  "/",
  "//",
  "d//e/",
  "x".repeat(99),
  "y".repeat(300),
  `${"deep/".repeat(900)}end`,
  "\xff\xfe",
  "n\nl",
];
const TYPES = ["0", "\0", "1", "2", "3", "4", "5", "6", "7", "D", "S", "V", "M", "x", "g", "L", "K", "X", "Z", "\xff"];
const NUMBERS = ["0", "1", "777", "7777777", "77777777777", "8", "-1", " ", "", "x", "0x1F", "1e9"];
const PAX_KEYS = [
  "path",
  "linkpath",
  "size",
  "uid",
  "gid",
  "mtime",
  "atime",
  "uname",
  "SCHILY.devmajor",
  "SCHILY.xattr.user.a",
  "SCHILY.xattr.security.capability",
  "SCHILY.xattr.trusted.overlay.opaque",
  "SCHILY.xattr.",
  "GNU.sparse.major",
  "GNU.sparse.minor",
  "GNU.sparse.name",
  "GNU.sparse.realsize",
  "GNU.sparse.size",
  "GNU.sparse.map",
  "GNU.sparse.offset",
  "GNU.sparse.numbytes",
  "GNU.sparse.numblocks",
  "",
  "comment",
];
const PAX_VALUES = [
  "0",
  "1",
  "512",
  "5000",
  "-1",
  "4294967295",
  "4294967296",
  "9007199254740993",
  "1e400",
  "0,10,20,30",
  "0,1,2",
  "1.5",
  "-1.999999999999",
  "9".repeat(400),
  "\0",
  "",
  "a",
  "../../up",
  "é",
  "y",
];

/** Makes archives up; most headers have a checksum that fits, so that what follows is looked at, too. */
export class ArchiveMaker {
  readonly #random: Random;
  /** How rare what no reader takes is in this archive. */
  #calm = 1;

  constructor(random: Random) {
    this.#random = random;
  }

  /** An archive of up to twelve members, each of them odd in some way; now and then cut short or damaged. */
  archive(): Uint8Array {
    this.#calm = this.#pick([1, 20, 200]);
    const parts = Array.from({ length: 1 + this.#random(12) }, () => this.#member());
    if (this.#random(3) > 0) parts.push(new Uint8Array(2 * TAR_BLOCK));
    const whole = Buffer.concat(parts);
    const kind = this.#random(8 * this.#calm);
    if (kind === 0) return whole.subarray(0, this.#random(whole.length + 1));
    if (kind === 1) this.#damage(whole);
    return whole;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random(list.length)] as T;
  }

  #odd(chance: number): boolean {
    return this.#random(chance * this.#calm) === 0;
  }

  #damage(bytes: Buffer): void {
    for (let count = 1 + this.#random(5); count > 0; count--) bytes[this.#random(bytes.length)] = this.#random(256);
  }

  #member(): Uint8Array {
    if (this.#random(4) > 0) return this.#plain();
    return Buffer.concat([...Array.from({ length: 1 + this.#random(4) }, () => this.#meta()), this.#plain()]);
  }

  /** A header with a body of the size that it says, or nearly so. */
  #plain(): Uint8Array {
    const type = this.#odd(2) ? this.#pick(TYPES) : this.#pick(["0", "0", "0", "1", "2", "5", "5", "6", "\0", "3"]);
    const size = this.#random(3) === 0 ? 0 : this.#random(1500);
    const block = this.#header(type, this.#odd(12) ? this.#pick(NUMBERS) : size.toString(8));
    const stored = ["0", "\0", "7", "S", "D", "V", "M", "Z", "\xff", "x", "g", "L", "K", "X"].includes(type) ? size : 0;
    const body = this.#odd(20) ? this.#random(2000) : stored;
    return Buffer.concat([block, this.#bytes(body)]);
  }

  #bytes(size: number): Uint8Array {
    const bytes = Buffer.alloc(size + paddingOf(size));
    for (let at = 0; at < size; at++) bytes[at] = this.#random(256);
    return bytes;
  }

  /** An extended header, a long name, or a long link. */
  #meta(): Uint8Array {
    const type = this.#pick(["x", "x", "x", "g", "L", "K", "X"]);
    const records = Array.from({ length: this.#random(5) }, () =>
      encodePaxRecord(this.#pick(PAX_KEYS), Buffer.from(this.#odd(1) ? this.#pick(PAX_VALUES) : this.#pick(["0", "1", "2"]), "latin1")),
    );
    const body =
      type === "L" || type === "K"
        ? Buffer.from(this.#pick(NAMES) + this.#pick(["", "\0"]), "latin1")
        : Buffer.concat(records.map((record) => (this.#odd(15) ? this.#bytes(20) : record)));
    const block = this.#header(type, this.#odd(20) ? this.#pick(NUMBERS) : body.length.toString(8));
    return Buffer.concat([block, body, Buffer.alloc(paddingOf(body.length))]);
  }

  #header(type: string, size: string): Uint8Array {
    const block = Buffer.alloc(TAR_BLOCK);
    const put = ([offset, length]: readonly [number, number], text: string): void =>
      void block.write(text.slice(0, length), offset, "latin1");
    const number = (field: readonly [number, number]): void => {
      if (this.#odd(15)) for (let at = 0; at < field[1]; at++) block[field[0] + at] = this.#random(4) === 0 ? this.#random(256) : 0x80;
      else put(field, this.#odd(6) ? this.#pick(NUMBERS) : "644");
    };
    put(FIELD.name, this.#pick(NAMES));
    for (const field of [FIELD.mode, FIELD.uid, FIELD.gid, FIELD.mtime, FIELD.major, FIELD.minor]) number(field);
    put(FIELD.size, size);
    put(FIELD.type, type);
    put(FIELD.link, this.#pick(NAMES));
    put(FIELD.magic, this.#pick(["ustar\x0000", "ustar  \0", "", "ustar\x0099"]));
    if (this.#random(6) === 0) put(FIELD.prefix, this.#pick(NAMES));
    if (type === "S") this.#oldSparse(block);
    if (this.#odd(30)) block[this.#random(TAR_BLOCK)] = this.#random(256);
    if (this.#odd(40)) return block;
    block.write("        ", FIELD.checksum[0], "latin1");
    block.write(
      `${block
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      FIELD.checksum[0],
      "latin1",
    );
    return block;
  }

  #oldSparse(block: Buffer): void {
    for (let index = 0; index < this.#random(5); index++) {
      block.write(this.#random(4096).toString(8).padStart(11, "0"), FIELD.gnuSparse[0] + index * 24, "latin1");
      block.write(this.#random(600).toString(8).padStart(11, "0"), FIELD.gnuSparse[0] + index * 24 + 12, "latin1");
    }
    block[FIELD.gnuExtended[0]] = this.#random(6) === 0 ? 1 : 0;
    block.write(this.#random(100_000).toString(8), FIELD.gnuRealSize[0], "latin1");
  }
}
