import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { State } from "../state/state.ts";
import type { Content, Layer, Lease } from "./content.ts";
import { addLayer, type Given, packedLayer, tarOf } from "./layer-fixture.ts";
import { openContent } from "./open.ts";
import { xattrsOf, isOpaque, isWhiteout } from "./lower.ts";
import { statAt } from "../linux/files.ts";

const root = process.getuid?.() === 0;
const work = mkdtempSync(join(tmpdir(), "lighter-unpack-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

let content: Content;
let state: State;
let lease: Lease;
let dataRoot: string;

beforeEach(async () => {
  dataRoot = mkdtempSync(join(work, "root-"));
  state = new State(join(dataRoot, "state.db"));
  content = await openContent({ dataRoot, state });
  lease = content.lease("test");
});
afterEach(() => state.close());

const at = (layer: Layer, path: string): string => join(layer.directory, path);
const add = (parent: Layer | undefined, entries: Given[]): Promise<Layer> => addLayer(content, lease, parent, entries);
const isRemoved = (path: string): boolean => {
  const stat = statAt(-100, path);
  return typeof stat !== "number" && isWhiteout(stat);
};

/** What a promise fails with. */
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "it did not fail",
    (error: unknown) => error,
  );

/** Nothing of a failed unpack may stay. */
function expectNothingLeft(): void {
  expect(readdirSync(join(dataRoot, "layers"))).toEqual([]);
  expect(readdirSync(join(dataRoot, "content/unpack"))).toEqual([]);
}

describe.if(root)("a layer on one that is not here", () => {
  test("is refused, leaves no descriptor open and no rejection unhandled", async () => {
    const rejections: unknown[] = [];
    const tell = (reason: unknown): void => void rejections.push(reason);
    process.on("unhandledRejection", tell);
    const lost = { digest: digestOf("lost") };
    await add(undefined, [{ path: "a", data: "a" }]);
    const open = (): number => readdirSync("/proc/self/fd").length;
    const before = open();
    for (let n = 0; n < 20; n++) {
      const parent = { chainId: lost.digest, parent: undefined, diffId: lost.digest, size: 0, directory: "" };
      expect(await failure(add(parent, [{ path: "b", data: `${n}` }]))).toMatchObject({ kind: "not-found" });
    }
    await Bun.sleep(5);
    process.off("unhandledRejection", tell);
    expect(open() - before).toBeLessThan(10);
    expect(rejections).toEqual([]);
  });
});

describe.if(root)("a layer by itself", () => {
  test("keeps owners, modes, times, attributes, links, devices and long names", async () => {
    const capability = Uint8Array.from([1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const long = `${"directory-with-a-long-name/".repeat(30)}file-ü`;
    const mtime = 1_234_567_890_123_456_789n;
    const layer = await add(undefined, [
      { path: "./", mode: 0o711, uid: 7, mtime },
      { path: "./bin/", mode: 0o2755, uid: 1, gid: 2, mtime },
      { path: "./bin/su", data: "program", mode: 0o4755, uid: 0, gid: 5, mtime, xattrs: new Map([["security.capability", capability]]) },
      { path: "./bin/big-owner", uid: 3_000_000_000, gid: 4_000_000_000 },
      { path: "./bin/again", type: "link", link: "bin/su" },
      { path: "./bin/link", type: "symlink", link: "/somewhere/else", uid: 9, gid: 9, mtime },
      { path: "./dev/null", type: "char", major: 1, minor: 3, mode: 0o666 },
      { path: "./dev/big", type: "block", major: 259, minor: 70_000, mode: 0o660, gid: 6 },
      { path: "./dev/pipe", type: "fifo", mode: 0o622 },
      { path: long, data: "deep" },
    ]);
    const stat = (path: string) => lstatSync(at(layer, path), { bigint: true });
    expect(stat("").mode & 0o7777n).toBe(0o711n);
    expect(stat("").uid).toBe(7n);
    expect(stat("bin").mode & 0o7777n).toBe(0o2755n);
    expect(stat("bin").mtimeNs).toBe(mtime);
    expect([stat("bin/su").mode & 0o7777n, stat("bin/su").gid, stat("bin/su").mtimeNs]).toEqual([0o4755n, 5n, mtime]);
    expect(xattrsOf(-100, at(layer, "bin/su")).get("security.capability")).toEqual(capability);
    expect([stat("bin/big-owner").uid, stat("bin/big-owner").gid]).toEqual([3_000_000_000n, 4_000_000_000n]);
    expect(stat("bin/again").ino).toBe(stat("bin/su").ino);
    expect([readlinkSync(at(layer, "bin/link")), stat("bin/link").uid, stat("bin/link").mtimeNs]).toEqual(["/somewhere/else", 9n, mtime]);
    expect(statAt(-100, at(layer, "dev/null"))).toMatchObject({ type: 0o020000, mode: 0o666, major: 1, minor: 3 });
    expect(statAt(-100, at(layer, "dev/big"))).toMatchObject({ type: 0o060000, mode: 0o660, gid: 6, major: 259, minor: 70_000 });
    expect(statAt(-100, at(layer, "dev/pipe"))).toMatchObject({ type: 0o010000, mode: 0o622 });
    expect(readFileSync(at(layer, long), "utf8")).toBe("deep");
    expect(stat("dev").mode & 0o7777n).toBe(0o755n);
  });

  test("sparse files stay sparse", async () => {
    writeFileSync(join(work, "sparse"), "start");
    const { $ } = await import("bun");
    await $`truncate -s 50M ${join(work, "sparse")}; printf end >> ${join(work, "sparse")}`.quiet();
    const tar = await $`tar -C ${work} --owner=0 --group=0 --format=pax -S -cf - sparse`.quiet().arrayBuffer();
    const layer = await addLayer(content, lease, undefined, packedLayer(new Uint8Array(tar)));
    const stat = lstatSync(at(layer, "sparse"));
    expect(stat.size).toBe(50 * 2 ** 20 + 3);
    expect(stat.blocks * 512).toBeLessThan(100_000);
    expect(readFileSync(at(layer, "sparse")).equals(readFileSync(join(work, "sparse")))).toBe(true);
  });

  test("names that are not UTF-8 keep their bytes", async () => {
    const tar = tarOf([{ path: "aaaa", data: "x" }]);
    const swapped = Buffer.from(tar);
    swapped[0] = 0xff;
    // The checksum has to follow.
    const sum = [...swapped.subarray(0, 512)].reduce((all, byte, index) => all + (index >= 148 && index < 156 ? 32 : byte), 0);
    swapped.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    const layer = await addLayer(content, lease, undefined, packedLayer(swapped));
    const names = readdirSync(layer.directory, { encoding: "buffer" });
    expect(names.map((name) => name.toString("latin1"))).toEqual(["\xffaaa"]);
  });

  test("a later member replaces an earlier one of the same name", async () => {
    const layer = await add(undefined, [
      { path: "a", data: "one" },
      { path: "a", data: "two" },
      { path: "d/x", data: "in a directory" },
      { path: "d", data: "now a file" },
      { path: "f", data: "a file" },
      { path: "f/", mode: 0o700 },
      { path: "f/x" },
    ]);
    expect(readFileSync(at(layer, "a"), "utf8")).toBe("two");
    expect(readFileSync(at(layer, "d"), "utf8")).toBe("now a file");
    expect(readdirSync(at(layer, "f"))).toEqual(["x"]);
    expect(layer.size).toBe(4 * 4096);
  });

  test("plain tar and zstd are taken, too, whatever the media type says", async () => {
    const tar = tarOf([{ path: "file", data: "x".repeat(100_000) }]);
    for (const packed of [tar, zstdCompressSync(tar)]) {
      const diffId = digestOf(tar);
      const layer = await addLayer(
        content,
        lease,
        undefined,
        { diffId, digest: digestOf(packed), packed: Buffer.from(packed) },
        digestOf(packed),
      );
      expect(lstatSync(at(layer, "file")).size).toBe(100_000);
    }
  });

  test("hard links across more directories than are kept open", async () => {
    const directories = Array.from({ length: 200 }, (_, index) => `d${index}`);
    const layer = await add(undefined, [
      { path: "d0/f", data: "x" },
      ...directories.flatMap((name): Given[] => [
        { path: `${name}/own`, data: name },
        { path: `${name}/link`, type: "link", link: "d0/f" },
        { path: `${name}/again`, type: "link", link: `d${Math.floor(Number(name.slice(1)) / 2)}/own` },
      ]),
    ]);
    expect(lstatSync(at(layer, "d0/f")).nlink).toBe(201);
    for (const name of directories)
      expect(readFileSync(at(layer, `${name}/again`), "utf8")).toBe(`d${Math.floor(Number(name.slice(1)) / 2)}`);
  });

  test("its size is what du counts", async () => {
    const { $ } = await import("bun");
    const layer = await add(undefined, [
      { path: "a/b/c", data: "x".repeat(10_000) },
      { path: "a/b/d", type: "link", link: "a/b/c" },
      { path: "empty" },
      { path: "l", type: "symlink", link: "short" },
    ]);
    expect(layer.size).toBe(Number((await $`du -s -B1 ${layer.directory}`.quiet().text()).split("\t")[0]));
    expect(content.usage().layers).toBe(layer.size);
  });
});

describe.if(root)("a layer on others", () => {
  test("whiteouts become devices and opaque directories; the base has neither", async () => {
    const base = await add(undefined, [
      { path: "a/x" },
      { path: "a/y" },
      { path: "b/z" },
      { path: "gone" },
      { path: ".wh.never" },
      { path: "c/d/e" },
    ]);
    expect(readdirSync(base.directory).sort()).toEqual(["a", "b", "c", "gone"]);
    const top = await add(base, [
      { path: "a/.wh.x" },
      { path: "b/" },
      { path: "b/.wh..wh..opq" },
      { path: "b/new" },
      { path: ".wh.gone" },
      { path: ".wh.not-there" },
      { path: "new/.wh.nothing" },
    ]);
    expect(isRemoved(at(top, "a/x"))).toBe(true);
    expect(isRemoved(at(top, "gone"))).toBe(true);
    expect(isOpaque(at(top, "b"))).toBe(true);
    expect(isOpaque(at(top, "a"))).toBe(false);
    // What hides nothing would show up as a strange device.
    expect(existsSync(at(top, "not-there"))).toBe(false);
    expect(readdirSync(at(top, "new"))).toEqual([]);
  });

  test("a whiteout never removes what its own layer brings, in whatever order", async () => {
    const base = await add(undefined, [{ path: "f", data: "old" }, { path: "d/old" }, { path: "e/old" }]);
    const top = await add(base, [
      { path: "f", data: "new" },
      { path: ".wh.f" },
      { path: ".wh.d" },
      { path: "d/new" },
      { path: "e/" },
      { path: "e/new" },
      { path: ".wh.e" },
    ]);
    expect(readFileSync(at(top, "f"), "utf8")).toBe("new");
    expect([isOpaque(at(top, "d")), isOpaque(at(top, "e"))]).toEqual([true, true]);
    expect(readdirSync(at(top, "d"))).toEqual(["new"]);
  });

  test("implied parents look as the nearest layer below has them", async () => {
    const base = await add(undefined, [
      { path: "tmp/", mode: 0o1777, uid: 3, gid: 4, mtime: 77n },
      { path: "var/", mode: 0o700, uid: 8, xattrs: new Map([["user.note", Buffer.from("kept")]]) },
      { path: "var/lib/", mode: 0o750 },
    ]);
    const middle = await add(base, [{ path: "other" }, { path: "var/lib/", mode: 0o751 }]);
    const top = await add(middle, [{ path: "tmp/x/f" }, { path: "var/lib/g" }]);
    expect(lstatSync(at(top, "tmp"), { bigint: true })).toMatchObject({ mode: 0o041777n, uid: 3n, gid: 4n, mtimeNs: 77n });
    expect(lstatSync(at(top, "tmp/x")).mode & 0o7777).toBe(0o755);
    expect(lstatSync(at(top, "var/lib")).mode & 0o7777).toBe(0o751);
    expect(lstatSync(at(top, "var"))).toMatchObject({ uid: 8 });
    expect(Buffer.from(xattrsOf(-100, at(top, "var")).get("user.note") ?? []).toString()).toBe("kept");
  });

  test("an implied parent that is a link below is followed inside the root", async () => {
    const base = await add(undefined, [
      { path: "usr/lib/", mode: 0o711 },
      { path: "lib", type: "symlink", link: "usr/lib" },
      { path: "abs", type: "symlink", link: "/usr/../usr/lib/../../lib" },
      { path: "out", type: "symlink", link: "../../../../usr" },
      { path: "dangling", type: "symlink", link: "some/where" },
    ]);
    const top = await add(base, [{ path: "lib/x.so", data: "1" }, { path: "abs/y.so" }, { path: "out/z" }, { path: "dangling/f" }]);
    expect(readdirSync(top.directory).sort()).toEqual(["some", "usr"]);
    expect(readdirSync(at(top, "usr/lib")).sort()).toEqual(["x.so", "y.so"]);
    expect(lstatSync(at(top, "usr/lib")).mode & 0o7777).toBe(0o711);
    expect(readdirSync(at(top, "some/where"))).toEqual(["f"]);
    expect(existsSync(at(top, "usr/z"))).toBe(true);
  });

  test("a hard link to a file below copies it up", async () => {
    const base = await add(undefined, [
      { path: "d/", mode: 0o700 },
      { path: "d/file", data: "content", uid: 5, mode: 0o600 },
    ]);
    const top = await add(base, [{ path: "link", type: "link", link: "d/file" }]);
    expect(lstatSync(at(top, "link"))).toMatchObject({ uid: 5, nlink: 2, size: 7 });
    expect(lstatSync(at(top, "d/file")).ino).toBe(lstatSync(at(top, "link")).ino);
    expect(lstatSync(at(top, "d")).mode & 0o7777).toBe(0o700);
    expect(String(await failure(add(base, [{ path: "link", type: "link", link: "nowhere" }])))).toContain(
      'its target "nowhere" does not exist',
    );
  });

  test("the root of a layer without one looks as below", async () => {
    const base = await add(undefined, [{ path: "./", mode: 0o700, uid: 6 }]);
    const top = await add(base, [{ path: "file" }]);
    expect(lstatSync(top.directory)).toMatchObject({ uid: 6 });
    expect(lstatSync(top.directory).mode & 0o7777).toBe(0o700);
    expect(content.layerStack(top.chainId).map((layer) => layer.directory)).toEqual([top.directory, base.directory]);
  });

  test("layers of one image may be unpacked at once; parents are awaited where needed", async () => {
    const layers = Array.from({ length: 6 }, (_, index) =>
      packedLayer(
        tarOf([
          { path: "d/", mode: 0o700 + index },
          ...(index % 2 === 0 ? [] : [{ path: "d/e/", mode: 0o711 }]),
          { path: `d/e/${index}`, data: "x".repeat(index * 1000) },
        ]),
      ),
    );
    for (const { packed } of layers) await content.writeBlob(packed, MEDIA.ociLayerGzip, lease);
    const chain = layers.map((layer) => layer.diffId);
    for (let index = 1; index < chain.length; index++) chain[index] = digestOf(`${chain[index - 1]} ${layers[index]?.diffId}`);
    const done = await Promise.all(
      layers.map((layer, index) =>
        content.unpack({
          chainId: chain[index] ?? layer.diffId,
          parent: chain[index - 1],
          diffId: layer.diffId,
          source: { blob: layer.digest },
          mediaType: MEDIA.ociLayerGzip,
          lease,
        }),
      ),
    );
    expect(content.layerStack(chain[5] ?? digestOf("")).map((layer) => layer.directory)).toEqual(
      done.map((layer) => layer.directory).toReversed(),
    );
    expect(lstatSync(join(done[2]?.directory ?? "", "d/e")).mode & 0o7777).toBe(0o711);
  });
});

describe.if(root)("a hostile layer", () => {
  const outside = join(work, "outside");
  beforeEach(() => {
    rmSync(outside, { recursive: true, force: true });
    mkdirSync(outside);
    writeFileSync(join(outside, "victim"), "unharmed");
  });
  afterEach(() => {
    expect(readdirSync(outside)).toEqual(["victim"]);
    expect(readFileSync(join(outside, "victim"), "utf8")).toBe("unharmed");
    expect(lstatSync(join(outside, "victim")).nlink).toBe(1);
  });
  const bad: Record<string, Given[]> = {
    "leads out by ..": [{ path: "../../../../../../../../tmp/evil" }],
    "leads out behind a name": [{ path: "a/../../b" }],
    "links to a file outside by ..": [{ path: "l", type: "link", link: "../../../../etc/passwd" }],
    "links to a file outside by a link": [
      { path: "up", type: "symlink", link: outside },
      { path: "l", type: "link", link: "up/victim" },
    ],
    "has a file in the way": [{ path: "a" }, { path: "a/b" }],
    "has a device in the way": [{ path: "dev", type: "char", major: 1, minor: 3 }, { path: "dev/x" }],
    "has links in a circle": [{ path: "a", type: "symlink", link: "b" }, { path: "b", type: "symlink", link: "a" }, { path: "a/x" }],
    "has a file for its root": [{ path: ".", type: "file" }],
    "links a directory": [{ path: "d/" }, { path: "l", type: "link", link: "d" }],
  };
  for (const [what, entries] of Object.entries(bad)) {
    test(`that ${what} is refused, and nothing is left`, async () => {
      expect(await failure(add(undefined, entries))).toMatchObject({ kind: "invalid" });
      expectNothingLeft();
    });
  }

  test("whose links point outside writes inside", async () => {
    const layer = await add(undefined, [
      { path: "abs", type: "symlink", link: outside },
      { path: "abs/victim", data: "evil" },
      { path: "rel", type: "symlink", link: `../../../../../../../../..${outside}` },
      { path: "rel/other", data: "evil" },
      { path: "/absolute", data: "inside" },
      { path: "victim", type: "symlink", link: join(outside, "victim") },
      { path: "victim", data: "replaces the link" },
      { path: "wh", type: "symlink", link: outside },
      { path: "wh/.wh.victim" },
    ]);
    expect(readFileSync(at(layer, join(outside, "victim")), "utf8")).toBe("evil");
    expect(readFileSync(at(layer, join(outside, "other")), "utf8")).toBe("evil");
    expect(readFileSync(at(layer, "absolute"), "utf8")).toBe("inside");
    expect(readFileSync(at(layer, "victim"), "utf8")).toBe("replaces the link");
  });

  test("cannot bring overlayfs' own marks", async () => {
    const layer = await add(undefined, [
      {
        path: "d/",
        xattrs: new Map([
          ["trusted.overlay.opaque", Buffer.from("y")],
          ["user.fine", Buffer.from("1")],
        ]),
      },
    ]);
    expect(isOpaque(at(layer, "d"))).toBe(false);
    expect([...xattrsOf(-100, at(layer, "d")).keys()]).toEqual(["user.fine"]);
  });

  test("that is cut short, damaged, no archive, or of another digest is refused", async () => {
    const good = packedLayer(
      tarOf([{ path: "file", data: Buffer.from(Array.from({ length: 50_000 }, () => Math.floor(Math.random() * 256))) }]),
    );
    const cut = good.packed.subarray(0, good.packed.length - 2000);
    const damaged = Buffer.from(good.packed);
    damaged.fill(0x55, 20_000, 20_100);
    for (const packed of [cut, damaged, Buffer.from("garbage".repeat(1000))]) {
      const bad = { ...good, digest: digestOf(packed), packed };
      expect(await failure(addLayer(content, lease, undefined, bad, bad.digest))).toMatchObject({ kind: "invalid" });
    }
    const other = await failure(addLayer(content, lease, undefined, { ...good, diffId: digestOf("other") }));
    expect(String(other)).toContain("the image says sha256:");
    expectNothingLeft();
  });
});

describe.if(root)("unpacking under way", () => {
  const noise = (size: number): Buffer =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)))
      .toString("hex")
      .repeat(Math.ceil(size / 131_072)) as never;
  const big = (): ReturnType<typeof packedLayer> =>
    packedLayer(tarOf(Array.from({ length: 40 }, (_, index) => ({ path: `f${index}`, data: noise(300_000) }))));

  test("follows a download as it grows, and waits for its digest", async () => {
    const layer = big();
    const ingest = await content.ingest(layer.digest);
    const finished = Promise.withResolvers<void>();
    const seen: number[] = [];
    const unpacked = content.unpack({
      chainId: layer.diffId,
      parent: undefined,
      diffId: layer.diffId,
      source: { ingest: layer.digest, finished: finished.promise },
      mediaType: MEDIA.ociLayerGzip,
      lease,
      progress: (done) => void seen.push(done),
    });
    const half = layer.packed.length >> 1;
    await ingest.write(layer.packed.subarray(0, half));
    const workdir = join(dataRoot, "content/unpack");
    const files = (): string[] => readdirSync(workdir).flatMap((name) => readdirSync(join(workdir, name)));
    for (let tries = 0; tries < 1500 && files().length < 5; tries++) await Bun.sleep(20);
    expect(files().length).toBeGreaterThanOrEqual(5);
    await ingest.write(layer.packed.subarray(half));
    await ingest.commit({ digest: layer.digest, mediaType: MEDIA.ociLayerGzip }, lease);
    expect(content.layer(layer.diffId)).toBeUndefined();
    finished.resolve();
    expect((await unpacked).chainId).toBe(layer.diffId);
    expect(readdirSync(join(dataRoot, "layers"))).toHaveLength(1);
  });

  test("begins anew with the download, and ends with it", async () => {
    const layer = big();
    const options = { chainId: layer.diffId, parent: undefined, diffId: layer.diffId, mediaType: MEDIA.ociLayerGzip, lease };
    const ingest = await content.ingest(layer.digest);
    const failed = Promise.withResolvers<void>();
    const first = content.unpack({ ...options, source: { ingest: layer.digest, finished: failed.promise } });
    await ingest.write(layer.packed.subarray(0, 1_000_000));
    await Bun.sleep(50);
    failed.reject(new Error("the connection broke"));
    expect(String(await failure(first))).toContain("the connection broke");
    expectNothingLeft();
    const finished = Promise.withResolvers<void>();
    const second = content.unpack({ ...options, source: { ingest: layer.digest, finished: finished.promise } });
    await ingest.write(Buffer.from("garbage"));
    await Bun.sleep(20);
    await ingest.restart();
    await ingest.write(layer.packed);
    await ingest.commit({ digest: layer.digest, size: layer.packed.length, mediaType: MEDIA.ociLayerGzip }, lease);
    finished.resolve();
    expect((await second).size).toBeGreaterThan(1e6);
  });

  test("is shared by all who ask, and cancelled by the last", async () => {
    const layer = big();
    await content.writeBlob(layer.packed, MEDIA.ociLayerGzip, lease);
    const options = {
      chainId: layer.diffId,
      parent: undefined,
      diffId: layer.diffId,
      source: { blob: layer.digest },
      mediaType: MEDIA.ociLayerGzip,
      lease,
    };
    const [one, two] = [new AbortController(), new AbortController()];
    const [first, second] = [
      failure(content.unpack({ ...options, signal: one.signal })),
      failure(content.unpack({ ...options, signal: two.signal })),
    ];
    one.abort();
    expect(await first).toMatchObject({ kind: "cancelled" });
    two.abort();
    expect(await second).toMatchObject({ kind: "cancelled" });
    expectNothingLeft();
    const stay = new AbortController();
    const leave = new AbortController();
    const staying = content.unpack({ ...options, signal: stay.signal });
    const leaving = failure(content.unpack({ ...options, signal: leave.signal }));
    leave.abort();
    expect(await leaving).toMatchObject({ kind: "cancelled" });
    expect((await staying).chainId).toBe(layer.diffId);
    const many = await Promise.all(Array.from({ length: 5 }, () => content.unpack(options)));
    expect(new Set(many.map((done) => done.directory)).size).toBe(1);
  });
});
