/** For tests: random trees of everything that a file system can hold, the nasty cases among them. */
import {
  chmodFd,
  chown,
  chownAt,
  close,
  linkAt,
  mkdirAt,
  mknodAt,
  must,
  O,
  openAt,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFSOCK,
  setTimes,
  setTimesAt,
  setXattr,
  symlinkAt,
  truncateTo,
  writeAt,
} from "../linux/files.ts";
import { type ByteString, byteString } from "../oci/tar-entry.ts";
import { HERE, joinPath } from "./tree-path.ts";

/** A random number from 0 up to, but not `below`. */
export type Random = (below: number) => number;

/** Numbers that a seed decides. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** `security.capability` of version 2: cap_net_raw, effective. */
const CAPABILITY = Uint8Array.from([1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
/** An access list of version 2: owner rw-, user 1000 r--, group r--, mask r--, others none. */
const ACL = Uint8Array.from(
  [2, 0, 0, 0].concat(
    [
      [1, 6, 0xffffffff],
      [2, 4, 1000],
      [4, 4, 0xffffffff],
      [16, 4, 0xffffffff],
      [32, 0, 0xffffffff],
    ].flatMap(([tag = 0, bits = 0, id = 0]) => [tag, 0, bits, 0, id & 255, (id >>> 8) & 255, (id >>> 16) & 255, id >>> 24]),
  ),
);
const IDS = [0, 0, 1, 1000, 65_534, 65_536, 70_000, 2_097_151, 2_097_152, 3_000_000_000, 4_294_967_294];
/** Seconds; ext4 keeps times from 1901 to 2446. */
const TIMES = [0, 1, -1, -2_000_000_000, 1_500_000_000, 2_147_483_648, 4_294_967_296, 8_589_934_592, 15_000_000_000];

/** Which of the nasty things a reader cannot be expected to take. */
export interface TreeTaste {
  /** Names that are not UTF-8. */
  bytes?: boolean;
  /** Attributes beside `user.` and capabilities. */
  attributes?: boolean;
  /** Fractions of seconds. */
  fractions?: boolean;
  /** Times before 1970 and past the 23rd century, and attributes without a value: Go's programs lose them. */
  extremes?: boolean;
}

/** Fills an empty directory. */
export function makeRandomTree(directory: string, random: Random, taste: TreeTaste = {}, count = 60): void {
  const root = must(openAt(HERE, byteString(directory), O.RDONLY | O.DIRECTORY), "open", byteString(directory));
  try {
    new TreeMaker(root, random, taste).fill(count);
  } finally {
    close(root);
  }
}

class TreeMaker {
  readonly #root: number;
  readonly #random: Random;
  readonly #taste: TreeTaste;
  readonly #directories: ByteString[] = [""];
  readonly #leaves: ByteString[] = [];

  constructor(root: number, random: Random, taste: TreeTaste) {
    this.#root = root;
    this.#random = random;
    this.#taste = taste;
  }

  fill(count: number): void {
    for (let index = 0; index < count; index++) this.#make(index);
    // Deepest first: what is put into a directory changes its time.
    for (const path of this.#directories.toReversed()) if (path !== "") this.#describe(path, true);
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random(list.length)] as T;
  }

  #name(index: number): ByteString {
    const odd = [
      "plain",
      "with space",
      "new\nline",
      "tab\t",
      "quote'\"",
      "back\\slash",
      "-dash",
      "ünï日",
      "=",
      "wh.x",
      ".hidden",
      ".wh",
      "a:b,c",
      "%41",
      "x".repeat(99),
      "y".repeat(240),
    ];
    if (this.#taste.bytes !== false && this.#random(10) === 0) return `\xff\xfe\x80${index}`;
    return byteString(`${this.#pick(odd)}${index}`);
  }

  #make(index: number): void {
    const path = joinPath(this.#pick(this.#directories), this.#name(index));
    // One look-up takes a path of at most 4096 bytes.
    if (path.length > 1500) return;
    const kind = this.#random(14);
    if (kind < 4) {
      must(mkdirAt(this.#root, path, 0o755), "mkdir", path);
      this.#directories.push(path);
      return;
    }
    if (kind < 6) {
      const from = this.#leaves.length === 0 ? undefined : this.#pick(this.#leaves);
      if (from !== undefined) must(linkAt(this.#root, from, this.#root, path), "link", path);
      return;
    }
    if (kind < 8) must(symlinkAt(this.#target(), this.#root, path), "symlink", path);
    else if (kind === 8) this.#special(path);
    else this.#file(path);
    this.#describe(path, false);
    this.#leaves.push(path);
  }

  #target(): ByteString {
    return this.#pick([
      "x",
      "/",
      "..",
      "../../../../up",
      "/etc/passwd",
      "t".repeat(100),
      "t".repeat(101),
      `${"deep/".repeat(300)}end`,
      byteString("zü"),
      "\xff",
      "a\nb",
    ]).replaceAll("\xff", this.#taste.bytes === false ? "x" : "\xff");
  }

  #special(path: ByteString): void {
    const [type, major, minor] = this.#pick([
      [S_IFCHR, 1, 3],
      [S_IFCHR, 4095, 1_048_575],
      [S_IFBLK, 7, 300],
      [S_IFIFO, 0, 0],
    ] as const);
    must(mknodAt(this.#root, path, type, 0o600, major, minor), "mknod", path);
    if (this.#random(3) === 0) must(mknodAt(this.#root, `${path}.s`, S_IFSOCK, 0o600, 0, 0), "mknod", path);
  }

  #file(path: ByteString): void {
    const fd = must(openAt(this.#root, path, O.WRONLY | O.CREAT | O.EXCL, 0o600), "open", path);
    const bytes = Uint8Array.from({ length: this.#pick([0, 1, 511, 512, 513, 5000]) }, () => this.#random(256));
    if (bytes.length > 0) must(writeAt(fd, bytes, 0), "write", path);
    const sparse = this.#random(5);
    if (sparse === 0) must(truncateTo(fd, 1_200_000 + this.#random(5000)), "truncate", path);
    if (sparse === 1) {
      const block = Uint8Array.from({ length: 4096 }, () => this.#random(256));
      for (let run = 1; run < 4; run++) must(writeAt(fd, block, run * 450_560), "write", path);
      if (this.#random(2) === 0) must(truncateTo(fd, 1_600_001), "truncate", path);
    }
    close(fd);
  }

  #describe(path: ByteString, directory: boolean): void {
    const [uid, gid] = [this.#pick(IDS), this.#pick(IDS)];
    const seconds = this.#pick(this.#taste.extremes === false ? TIMES.filter((time) => time >= 0 && time < 9e9) : TIMES);
    const time = BigInt(seconds) * 1_000_000_000n + (this.#taste.fractions === true ? BigInt(this.#random(1_000_000_000)) : 0n);
    must(chownAt(this.#root, path, uid, gid), "chown", path);
    const fd = openAt(this.#root, path, O.RDONLY | O.NOFOLLOW | O.NONBLOCK | O.NOCTTY);
    if (fd >= 0) {
      must(chown(fd, uid, gid), "chown", path);
      must(chmodFd(fd, this.#pick([0o644, 0o755, 0o4755, 0o2755, 0o1777, 0o6711, 0o600, 0, 0o7777])), "chmod", path);
      const regular = directory || this.#random(2) === 0;
      close(fd);
      if (regular) this.#attributes(path, directory);
    }
    must(setTimesAt(this.#root, path, time, time), "utimens", path);
    const again = directory ? openAt(this.#root, path, O.RDONLY | O.DIRECTORY) : -1;
    if (again < 0) return;
    must(setTimes(again, time, time), "utimens", path);
    close(again);
  }

  /** What the kernel refuses (`user.` on a device, a capability on a directory) is left out. */
  #attributes(path: ByteString, directory: boolean): void {
    const value = Uint8Array.from({ length: this.#random(40) + (this.#taste.extremes === false ? 1 : 0) }, () => this.#random(256));
    setXattr(this.#root, path, `user.t${this.#random(9)}`, value);
    if (!directory && this.#random(3) === 0) setXattr(this.#root, path, "security.capability", CAPABILITY);
    if (this.#taste.attributes === false) return;
    if (this.#random(4) === 0) setXattr(this.#root, path, "trusted.t", value);
    if (this.#random(4) === 0) setXattr(this.#root, path, "system.posix_acl_access", ACL);
    if (directory && this.#random(4) === 0) setXattr(this.#root, path, "system.posix_acl_default", ACL);
  }
}
