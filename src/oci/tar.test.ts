import { afterAll, expect, test } from "bun:test";
import { $ } from "bun";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
  readdirSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tarStream from "tar-stream";
import { LighterError } from "../base/errors.ts";
import { byteString, type TarEntry, textOf } from "./tar-entry.ts";
import { readTar, TarParser } from "./tar-read.ts";
import { TAR_END, tarHeader, tarPadding } from "./tar-write.ts";

const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const work = mkdtempSync(join(tmpdir(), "lighter-tar-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** A small random number generator: the same seed gives the same trees. */
function randomizer(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

interface Read {
  entry: TarEntry;
  data: Uint8Array;
}

/** Parses with cuts at random places: where a cut falls must not matter. */
function parse(bytes: Uint8Array, random: (below: number) => number): Read[] {
  const found: Read[] = [];
  const parser = new TarParser({
    entry: (entry) => void found.push({ entry, data: new Uint8Array(entry.size) }),
    data: (piece, offset) => found.at(-1)?.data.set(piece, offset),
    end: () => {},
  });
  for (let at = 0; at < bytes.length;) {
    const size = 1 + random(random(3) === 0 ? 7 : 5000);
    parser.push(bytes.subarray(at, at + size));
    at += size;
  }
  parser.finish();
  return found;
}

function name(random: (below: number) => number): string {
  const letters = ["a", "B", "7", "-", "_", ".x", " ", "ü", "日", "'", "\\"];
  const length = random(12) === 0 ? 60 + random(30) : 1 + random(6);
  return `n${Array.from({ length }, () => letters[random(letters.length)]).join("")}`.slice(0, 80);
}

/** A random tree of everything that needs no privileges. */
function makeTree(directory: string, random: (below: number) => number): void {
  mkdirSync(directory);
  const directories = [directory];
  const files: string[] = [];
  for (let count = 0; count < 40; count++) {
    const parent = directories[random(directories.length)] ?? directory;
    const path = join(parent, `${name(random)}${count}`);
    const kind = random(10);
    if (kind < 2) {
      mkdirSync(path, { mode: 0o700 + random(0o100) });
      if (path.length < 2000) directories.push(path);
    } else if (kind < 3) symlinkSync(random(2) === 0 ? name(random) : `/${"deep/".repeat(random(40))}${name(random)}`, path);
    else if (kind < 4 && files.length > 0) linkSync(files[random(files.length)] ?? "", path);
    else if (kind < 5) sparse(path, random, files);
    else {
      const data = Buffer.from(Array.from({ length: random(4) === 0 ? 0 : random(3000) }, () => random(256)));
      writeFileSync(path, data, { mode: 0o600 + random(0o200) });
      files.push(path);
    }
    if (kind >= 4) utimesSync(path, 1 + random(2 ** 30), random(2 ** 31) + random(1000) / 1000);
  }
}

function sparse(path: string, random: (below: number) => number, files: string[]): void {
  const fd = openSync(path, "w");
  for (let run = 0; run < random(40); run++)
    writeSync(fd, Buffer.alloc(1 + random(5000), 65 + run), 0, undefined, run * 70_000 + random(60_000));
  closeSync(fd);
  truncateSync(path, 3_000_000 + random(100_000));
  files.push(path);
}

/** Compares what was read with the tree that was packed. */
function expectTree(found: Read[], directory: string, exactTimes: boolean): void {
  const names = readdirSync(directory, { recursive: true }) as string[];
  const byPath = new Map(found.map((item) => [textOf(item.entry.path).replace(/^\.\/|\/$/g, ""), item]));
  byPath.delete(".");
  byPath.delete("");
  expect([...byPath.keys()].sort()).toEqual(names.sort());
  for (const [path, { entry, data }] of byPath) {
    const stat = lstatSync(join(directory, path), { bigint: true });
    expect(entry.mode).toBe(Number(stat.mode) & 0o7777);
    expect(entry.uid).toBe(Number(stat.uid));
    if (exactTimes) expect(entry.mtime).toBe(stat.mtimeNs);
    else expect(entry.mtime / 1_000_000_000n).toBe(stat.mtimeNs / 1_000_000_000n);
    if (entry.type === "symlink") expect(textOf(entry.link)).toBe(readlinkSync(join(directory, path)));
    else if (entry.type === "file") expect(Buffer.from(data).equals(readFileSync(join(directory, path)))).toBe(true);
    else if (entry.type === "link") expect(lstatSync(join(directory, textOf(entry.link))).ino).toBe(lstatSync(join(directory, path)).ino);
    else expect(entry.type).toBe("directory");
  }
}

const FORMATS: Record<string, { options: string[]; exact: boolean }> = {
  gnu: { options: ["--format=gnu"], exact: false },
  "gnu sparse": { options: ["--format=gnu", "-S"], exact: false },
  pax: { options: ["--format=pax"], exact: true },
  "pax sparse 0.0": { options: ["--format=pax", "-S", "--sparse-version=0.0"], exact: true },
  "pax sparse 0.1": { options: ["--format=pax", "-S", "--sparse-version=0.1"], exact: true },
  "pax sparse 1.0": { options: ["--format=pax", "-S", "--sparse-version=1.0"], exact: true },
};

for (const [format, { options, exact }] of Object.entries(FORMATS)) {
  test(`reads what GNU tar writes: ${format} (SEED=${seed})`, async () => {
    const random = randomizer(seed);
    for (let round = 0; round < 4; round++) {
      const directory = join(work, `${format.replaceAll(/\W/g, "-")}${round}`);
      makeTree(directory, random);
      const archive = await $`tar -C ${directory} ${options} -cf - .`.quiet().arrayBuffer();
      expectTree(parse(new Uint8Array(archive), random), directory, exact);
      rmSync(directory, { recursive: true });
    }
  });
}

/** Entries that the writer must carry through unchanged. */
function randomEntry(random: (below: number) => number, index: number): Read {
  const types = ["file", "symlink", "directory", "char", "fifo", "file", "file"] as const;
  const type = types[random(types.length)] ?? "file";
  const deep = random(4) === 0 ? `${"directory/".repeat(random(40))}` : "";
  const data = type === "file" ? Buffer.from(Array.from({ length: random(2000) }, () => random(256))) : Buffer.alloc(0);
  const path = byteString(`${deep}${name(random)}${index}${type === "directory" ? "/" : ""}`);
  const seconds = BigInt(random(2 ** 31)) * BigInt(1 + random(30));
  const entry: TarEntry = {
    type,
    path,
    link: type === "symlink" ? byteString(`${"t/".repeat(random(80))}${name(random)}`) : "",
    mode: random(0o10000),
    uid: random(3) === 0 ? 2_097_152 + random(2 ** 31) : random(70_000),
    gid: random(3) === 0 ? 4_000_000_000 : random(70_000),
    user: random(2) === 0 ? "" : byteString(name(random)),
    group: "",
    size: data.length,
    mtime: seconds * 1_000_000_000n + (random(2) === 0 ? 0n : BigInt(random(1_000_000_000))),
    major: type === "char" ? random(4096) : 0,
    minor: type === "char" ? random(1 << 20) : 0,
  };
  if (random(3) === 0) {
    entry.xattrs = new Map([
      ["security.capability", Uint8Array.from([1, 0, 0, 2, 0, 4, 0, 0, 255, 10, 61, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
      [`user.${name(random)}`.replaceAll(/[^a-z0-9.]/g, "x"), Uint8Array.from({ length: random(300) }, () => random(256))],
    ]);
  }
  return { entry, data };
}

function archiveOf(items: Read[]): Buffer {
  return Buffer.concat([...items.flatMap(({ entry, data }) => [tarHeader(entry), data, tarPadding(data.length)]), TAR_END]);
}

test(`what the writer writes comes back unchanged (SEED=${seed})`, () => {
  const random = randomizer(seed + 1);
  for (let round = 0; round < 20; round++) {
    const items = Array.from({ length: 30 }, (_, index) => randomEntry(random, index));
    const archive = archiveOf(items);
    expect(archiveOf(items).equals(archive)).toBe(true);
    const back = parse(archive, random);
    expect(back.map(({ entry }) => entry)).toEqual(items.map(({ entry }) => entry));
    expect(back.every(({ data }, index) => Buffer.from(data).equals(Buffer.from(items[index]?.data ?? [])))).toBe(true);
  }
});

test(`tar-stream reads what the writer writes (SEED=${seed})`, async () => {
  const random = randomizer(seed + 2);
  const items = Array.from({ length: 100 }, (_, index) => randomEntry(random, index));
  const extract = tarStream.extract();
  extract.end(archiveOf(items));
  let index = 0;
  for await (const member of extract) {
    const { entry, data } = items[index++] ?? { entry: undefined, data: new Uint8Array() };
    const pieces: Buffer[] = [];
    for await (const piece of member) pieces.push(piece as Buffer);
    expect(member.header.name).toBe(textOf(entry?.path ?? ""));
    // tar-stream leaves numbers that only PAX can hold in its map of records.
    expect(Number((member.header.pax as Record<string, string> | null | undefined)?.["uid"] ?? member.header.uid)).toBe(entry?.uid ?? -1);
    expect(member.header.mode).toBe(entry?.mode ?? -1);
    expect(member.header.linkname ?? "").toBe(textOf(entry?.link ?? ""));
    const seconds = Number((entry?.mtime ?? 0n) / 1_000_000_000n);
    // tar-stream takes times from the block alone, where 8^11 seconds are the end.
    if (seconds < 8 ** 11) expect(Math.floor((member.header.mtime?.getTime() ?? 0) / 1000)).toBe(seconds);
    expect(Buffer.concat(pieces).equals(Buffer.from(data))).toBe(true);
  }
  expect(index).toBe(items.length);
});

test(`GNU tar lists what the writer writes (SEED=${seed})`, async () => {
  const random = randomizer(seed + 3);
  const items = Array.from({ length: 60 }, (_, index) => randomEntry(random, index));
  const archive = join(work, "ours.tar");
  writeFileSync(archive, archiveOf(items));
  const listed = await $`tar --quoting-style=literal --show-transformed-names -tf ${archive}`
    .env({ ...process.env, LC_ALL: "C.UTF-8" })
    .quiet();
  expect(listed.stderr.toString()).toBe("");
  expect(listed.stdout.toString().trimEnd().split("\n")).toEqual(items.map(({ entry }) => textOf(entry.path)));
});

test("tar-stream's archives are read, its PAX headers included", async () => {
  const pack = tarStream.pack();
  pack.entry({ name: `${"x/".repeat(120)}long`, mtime: new Date(1.5e12), pax: { "SCHILY.xattr.user.a": "b" } }, "content");
  pack.entry({ name: "link", type: "link", linkname: "a" });
  pack.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of pack) pieces.push(piece as Buffer);
  const [first, second] = parse(Buffer.concat(pieces), randomizer(1));
  expect(first?.entry.path).toBe(`${"x/".repeat(120)}long`);
  expect(first?.entry.xattrs).toEqual(new Map([["user.a", new Uint8Array(Buffer.from("b"))]]));
  expect(Buffer.from(first?.data ?? []).toString()).toBe("content");
  expect(second?.entry.type).toBe("link");
});

test("readTar hands members on in parts and skips what is not read", async () => {
  const data = Buffer.alloc(5000, "x");
  const base = randomEntry(randomizer(5), 0).entry;
  const plain: TarEntry = { ...base, type: "file", path: "a", link: "", size: data.length };
  const archive = archiveOf([
    { entry: plain, data },
    { entry: { ...plain, path: "b", size: 0 }, data: Buffer.alloc(0) },
  ]);
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < archive.length; at += 1000) yield archive.subarray(at, at + 1000);
  }
  let bytes = 0;
  const ended: string[] = [];
  for await (const part of readTar(pieces())) {
    for (const piece of part.body) bytes += piece.bytes.length;
    if (part.last) ended.push(part.entry.path);
  }
  expect(bytes).toBe(5000);
  expect(ended).toEqual(["a", "b"]);
});

test("damage is refused with a sentence", () => {
  const item = randomEntry(randomizer(9), 0);
  item.entry = { ...item.entry, type: "file", path: "file", size: 600, link: "" };
  item.data = Buffer.alloc(600, 1);
  delete item.entry.xattrs;
  const archive = archiveOf([item]);
  expect(() => parse(archive.subarray(0, archive.length - 1024 - 512), randomizer(1))).toThrow("unexpected EOF");
  const flipped = Buffer.from(archive);
  flipped[archive.length - 1024 - 1024 - 512 + 10] = 0x55;
  expect(() => parse(flipped, randomizer(1))).toThrow("invalid tar header");
  expect(() => parse(Buffer.from("this is no archive".repeat(100)), randomizer(1))).toThrow("Cannot read the tar archive");
  expect(parse(new Uint8Array(0), randomizer(1))).toEqual([]);
  expect(parse(archive.subarray(0, archive.length - 1024), randomizer(1))).toHaveLength(1);
});

test("a sparse map that lies is refused", async () => {
  const path = join(work, "sparse");
  sparse(path, randomizer(3), []);
  writeFileSync(path, "x", { flag: "a" });
  for (const version of ["0.1", "1.0"]) {
    const archive = Buffer.from(await $`tar -C ${work} --format=pax -S --sparse-version=${version} -cf - sparse`.quiet().arrayBuffer());
    const text = archive.toString("latin1");
    // The real size is smaller than what the map covers.
    const lied = Buffer.from(text.replace(/(GNU\.sparse\.(?:real)?size=)\d(\d+)/, "$10$2"), "latin1");
    expect(lied.equals(archive)).toBe(false);
    expect(() => parse(lied, randomizer(1))).toThrow("sparse map");
  }
});

test(`damaged archives end in a sentence or in entries, never otherwise (SEED=${seed})`, async () => {
  const random = randomizer(seed + 4);
  const directory = join(work, "fuzz");
  makeTree(directory, random);
  const sources: Buffer[] = [archiveOf(Array.from({ length: 20 }, (_, index) => randomEntry(random, index)))];
  for (const { options } of Object.values(FORMATS))
    sources.push(Buffer.from(await $`tar -C ${directory} ${options} -cf - .`.quiet().arrayBuffer()));
  let refused = 0;
  for (let round = 0; round < 600; round++) {
    const bytes = Buffer.from(sources[round % sources.length] ?? []);
    const at = random(bytes.length >> 9) * 512;
    // Changes in headers and the data behind them, with checksums that fit.
    for (let change = 0; change < 3; change++)
      bytes[at + random(random(2) === 0 ? 512 : 1024)] = random(2) === 0 ? 0x30 + random(10) : random(256);
    const sum = bytes.subarray(at, at + 512).reduce((all, byte, index) => all + (index >= 148 && index < 156 ? 32 : byte), 0);
    if (bytes.subarray(at + 257, at + 262).toString() === "ustar")
      bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
    const parser = new TarParser({
      entry: (entry) => expect(entry.size).toBeGreaterThanOrEqual(0),
      data: (_piece, offset) => expect(offset).toBeGreaterThanOrEqual(0),
      end: () => {},
    });
    try {
      parser.push(bytes);
      parser.finish();
    } catch (error) {
      expect(error).toBeInstanceOf(LighterError);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(50);
});
