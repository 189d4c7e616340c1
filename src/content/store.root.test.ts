import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { $ } from "bun";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf, hexOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import { State } from "../state/state.ts";
import type { Content, Lease } from "./content.ts";
import { addLayer } from "./layer-fixture.ts";
import { openContent } from "./open.ts";

const root = process.getuid?.() === 0;
const work = mkdtempSync(join(tmpdir(), "lighter-store-"));
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

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "it did not fail",
    (error: unknown) => error,
  );

/** A daemon that comes after this one. */
async function reopen(): Promise<void> {
  state.close();
  state = new State(join(dataRoot, "state.db"));
  content = await openContent({ dataRoot, state });
}

const leftovers = (): string[] => readdirSync(join(dataRoot, "content/ingest"));

describe("blobs", () => {
  const data = Buffer.from("some content ".repeat(10_000));
  const digest = digestOf(data);

  test("come in pieces and are stored under their digest", async () => {
    const ingest = await content.ingest(digest);
    await Promise.all([ingest.write(data.subarray(0, 50_000)), ingest.write(data.subarray(50_000))]);
    expect(ingest.offset).toBe(data.length);
    const blob = await ingest.commit({ digest, size: data.length, mediaType: "text/plain" }, lease);
    expect(blob).toEqual({ digest, size: data.length, mediaType: "text/plain" });
    expect(content.blob(digest)).toEqual(blob);
    expect(Buffer.from(await content.readBlob(digest)).equals(data)).toBe(true);
    expect(await failure(content.readBlob(digest, 1000))).toMatchObject({ kind: "invalid" });
    expect(await failure(content.readBlob(digestOf("absent")))).toMatchObject({ kind: "not-found" });
    expect(leftovers()).toEqual([]);
  });

  test("of a wrong digest or size are refused and removed", async () => {
    for (const expected of [{ digest: digestOf("other") }, { digest, size: 5 }]) {
      const ingest = await content.ingest("ref");
      await ingest.write(data);
      expect(await failure(ingest.commit({ ...expected, mediaType: "x" }, lease))).toMatchObject({ kind: "invalid" });
      expect(leftovers()).toEqual([]);
      expect(content.blob(expected.digest)).toBeUndefined();
    }
  });

  test("are kept by the lease before they have their name", async () => {
    const ingest = await content.ingest("ref");
    await ingest.write(data);
    const blobs = join(dataRoot, "content/blobs/sha256");
    const named: string[][] = [];
    const watched = Object.create(lease, {
      addBlob: {
        value: (of: Digest): void => {
          lease.addBlob(of);
          named.push(readdirSync(blobs));
        },
      },
    }) as typeof lease;
    await ingest.commit({ digest, mediaType: "x" }, watched);
    expect(named).toEqual([[]]);
    expect(readdirSync(blobs)).toEqual([digest.slice(7)]);
  });

  test("are written once at a time, resumed after a pause, begun anew on demand", async () => {
    const first = await content.ingest("ref");
    expect(await failure(content.ingest("ref"))).toMatchObject({ kind: "conflict" });
    await first.write(data.subarray(0, 70_000));
    await first.suspend();
    expect(content.usage().partial).toBeGreaterThanOrEqual(70_000);
    await reopen();
    lease = content.lease("later");
    const second = await content.ingest("ref");
    expect(second.offset).toBe(70_000);
    await second.write(Buffer.from("wrong"));
    await second.restart();
    expect(second.offset).toBe(0);
    await second.write(data);
    await second.commit({ digest, mediaType: "x" }, lease);
    const third = await content.ingest("ref");
    expect(third.offset).toBe(0);
    await third.abort();
  });

  test("resume after kill -9 in the middle, with nothing lost and nothing wrong", async () => {
    const script = join(work, "writer.ts");
    const here = import.meta.dir;
    await Bun.write(
      script,
      `import { State } from "${here}/../state/state.ts";
       import { openContent } from "${here}/open.ts";
       const content = await openContent({ dataRoot: process.argv[2]!, state: new State(process.argv[2] + "/state.db") });
       const ingest = await content.ingest("ref");
       for (let piece = 0; ; piece++) {
         await ingest.write(Buffer.alloc(10_000, piece % 256));
         console.log(ingest.offset);
         await Bun.sleep(1);
       }`,
    );
    const child = Bun.spawn([process.execPath, script, dataRoot], { stdout: "pipe" });
    let written = 0;
    for await (const piece of child.stdout) {
      written = Number(Buffer.from(piece).toString().trim().split("\n").at(-1));
      if (written > 200_000) break;
    }
    child.kill("SIGKILL");
    await child.exited;
    await reopen();
    lease = content.lease("later");
    const ingest = await content.ingest("ref");
    expect(ingest.offset).toBeGreaterThanOrEqual(written);
    const whole = Buffer.concat(Array.from({ length: 100 }, (_, piece) => Buffer.alloc(10_000, piece % 256)));
    await ingest.write(whole.subarray(ingest.offset));
    expect((await ingest.commit({ digest: digestOf(whole), size: whole.length, mediaType: "x" }, lease)).size).toBe(1_000_000);
  });

  test("without a row, half-made layers and what was being deleted are swept when the store is opened", async () => {
    for (const place of ["content/blobs/sha256/stray", "content/ingest/stray"]) writeFileSync(join(dataRoot, place), "x");
    for (const place of ["layers/stray/bin", "content/unpack/stray", "content/trash/stray/deep"])
      mkdirSync(join(dataRoot, place), { recursive: true });
    await reopen();
    await content.settled();
    for (const place of ["content/blobs/sha256", "content/ingest", "layers", "content/unpack", "content/trash"])
      expect(readdirSync(join(dataRoot, place))).toEqual([]);
  });

  test("partial ones go when nobody touched them for long", async () => {
    const old = await content.ingest("old");
    await old.write(data);
    await old.suspend();
    const active = await content.ingest("active");
    await content.sweepPartials(60_000);
    expect(leftovers()).toHaveLength(2);
    await Bun.sleep(5);
    await content.sweepPartials(1);
    expect(leftovers()).toHaveLength(1);
    await active.abort();
    expect(leftovers()).toEqual([]);
  });
});

describe("collecting", () => {
  const store = async (text: string): Promise<Digest> => (await content.writeBlob(Buffer.from(text), "x", lease)).digest;
  const image = (id: Digest): unknown =>
    state.write((tx) => tx.run("INSERT INTO images (id, media_type, size, created, last_used) VALUES (?, 'm', 0, 0, 0)", id), {
      durable: false,
    });

  test("keeps what images, containers, leases and further roots reach, and nothing else", async () => {
    const [index, manifest, config, layer, lost, leased, extra] = await Promise.all(
      ["index", "manifest", "config", "layer", "lost", "leased", "extra"].map(store),
    );
    if (!index || !manifest || !config || !layer || !lost || !leased || !extra) throw new Error("unreachable");
    image(index);
    state.write(
      (tx) => {
        content.setEdges(tx, index, [manifest, digestOf("a platform that is not here")]);
        content.setEdges(tx, manifest, [config, layer]);
      },
      { durable: false },
    );
    state.write((tx) => tx.run("CREATE TABLE registry_roots (digest TEXT)"), { durable: false });
    state.write((tx) => tx.run("INSERT INTO registry_roots VALUES (?)", extra), { durable: false });
    content = await openContent({ dataRoot, state, roots: [{ blobs: "SELECT digest FROM registry_roots" }] });
    using other = content.lease("push");
    other.addBlob(leased);
    expect((await content.collect({ dryRun: true })).blobs).toEqual([lost]);
    expect(content.blob(lost)).toBeDefined();
    expect(await content.collect()).toEqual({ bytes: 4, blobs: [lost], layers: [] });
    expect(existsSync(content.blobPath(lost))).toBe(false);
    for (const kept of [index, manifest, config, layer, leased, extra]) expect(existsSync(content.blobPath(kept))).toBe(true);
    state.write((tx) => tx.run("DELETE FROM images"), { durable: false });
    expect((await content.collect()).blobs.sort()).toEqual([index, manifest, config, layer].sort());
  });

  test("a lease dies with its daemon", async () => {
    const digest = await store("of a dead daemon");
    await reopen();
    expect((await content.collect()).blobs).toEqual([digest]);
    expect(content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
  });

  test.if(root)("removes a stack of layers from the top, keeps what a container stands on", async () => {
    const base = await addLayer(content, lease, undefined, [{ path: "a" }]);
    const middle = await addLayer(content, lease, base, [{ path: "b" }]);
    const top = await addLayer(content, lease, middle, [{ path: "c" }]);
    const manifest = digestOf("manifest");
    state.write(
      (tx) =>
        tx.run(
          "INSERT INTO containers (id, name, created, config_json, image, manifest, chain_id, runtime, status) VALUES ('c', 'c', 0, '{}', ?, ?, ?, 'crun', 'created')",
          manifest,
          manifest,
          middle.chainId,
        ),
      { durable: false },
    );
    lease.release();
    expect((await content.collect()).layers).toEqual([top.chainId]);
    expect(existsSync(top.directory)).toBe(false);
    state.write((tx) => tx.run("DELETE FROM containers"), { durable: false });
    expect((await content.collect()).layers).toEqual([middle.chainId, base.chainId]);
    expect(readdirSync(join(dataRoot, "layers"))).toEqual([]);
    expect(content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
  });

  test.if(root)("beside running pulls takes nothing from them", async () => {
    const pulls = Array.from({ length: 8 }, async (_, pull) => {
      using mine = content.lease(`pull ${pull}`);
      let parent;
      for (let index = 0; index < 5; index++) {
        // Half of the layers are the same in all pulls: found here, or stored anew.
        parent = await addLayer(content, mine, parent, [{ path: `f${index}`, data: index < 3 ? "shared" : `own ${pull}` }]);
      }
      const stack = content.layerStack(parent?.chainId ?? digestOf(""));
      expect(stack.map((layer) => existsSync(layer.directory))).toEqual([true, true, true, true, true]);
    });
    let running = true;
    const collecting = (async () => {
      while (running) {
        await content.collect();
        await Bun.sleep(1);
      }
    })();
    await Promise.all(pulls);
    running = false;
    await collecting;
    lease.release();
    await content.collect();
    expect(readdirSync(join(dataRoot, "layers"))).toEqual([]);
    expect(readdirSync(join(dataRoot, "content/blobs/sha256"))).toEqual([]);
  });
});

describe("discarding", () => {
  test("frees the path at once and deletes later, links as links", async () => {
    const outside = join(work, "outside");
    mkdirSync(join(outside, "kept"), { recursive: true });
    const tree = join(dataRoot, "containers/one");
    mkdirSync(join(tree, "upper/deep"), { recursive: true });
    writeFileSync(join(tree, "upper/deep/file"), "x");
    symlinkSync(outside, join(tree, "upper/link"));
    const discarded = content.discard(tree);
    expect(existsSync(tree)).toBe(false);
    await discarded;
    await content.discard(join(dataRoot, "containers/never"));
    await content.settled();
    expect(readdirSync(join(dataRoot, "content/trash"))).toEqual([]);
    expect(existsSync(join(outside, "kept"))).toBe(true);
  });

  test.if(root)("leaves what is mounted below alone, also where the data root is a link, until it is unmounted", async () => {
    const outside = join(work, "outside of all");
    mkdirSync(outside, { recursive: true });
    writeFileSync(join(outside, "file"), "");
    const link = join(work, "link");
    symlinkSync(dataRoot, link);
    const other = await openContent({ dataRoot: link, state });
    mkdirSync(join(link, "volumes/one/a place"), { recursive: true });
    await $`mount --bind ${outside} ${join(dataRoot, "volumes/one/a place")}`;
    await other.discard(join(link, "volumes/one"));
    await other.settled();
    expect(readdirSync(outside)).toEqual(["file"]);
    const [left = ""] = readdirSync(join(dataRoot, "content/trash"));
    await $`umount ${join(dataRoot, "content/trash", left, "a place")}`;
    await other.discard(join(link, "volumes/never"));
    mkdirSync(join(link, "volumes/two"));
    await other.discard(join(link, "volumes/two"));
    await other.settled();
    expect(readdirSync(join(dataRoot, "content/trash"))).toEqual([]);
  });
});

describe.if(root)("a full disk", () => {
  test("fails pull and unpack with no-space, and nothing is left", async () => {
    const script = join(work, "full.ts");
    const here = import.meta.dir;
    await Bun.write(
      script,
      `import { State } from "${here}/../state/state.ts";
       import { openContent } from "${here}/open.ts";
       import { addLayer } from "${here}/layer-fixture.ts";
       import { readdirSync } from "node:fs";
       const dataRoot = process.argv[2]!;
       const content = await openContent({ dataRoot, state: new State(process.argv[3] + "/state.db") });
       const lease = content.lease("test");
       const kinds = [];
       const ingest = await content.ingest("big");
       const kind = (error) => kinds.push(error.kind + ": " + error.message.split(":").at(-1));
       await (async () => { for (let n = 0; n < 100; n++) await ingest.write(crypto.getRandomValues(new Uint8Array(60_000))); })().catch(kind);
       await ingest.abort();
       await addLayer(content, lease, undefined, [{ path: "a", data: Buffer.alloc(1_000_000) }, { path: "b", data: Buffer.alloc(9_000_000) }]).catch(kind);
       await addLayer(content, lease, undefined, [{ path: "ok", data: Buffer.alloc(100_000) }]);
       console.log(JSON.stringify({ kinds, ingest: readdirSync(dataRoot + "/content/ingest"), unpack: readdirSync(dataRoot + "/content/unpack"), layers: readdirSync(dataRoot + "/layers").length }));
       process.exit(0);`,
    );
    const small = join(work, "small");
    mkdirSync(small);
    const commands = `mount -t tmpfs -o size=5m tmpfs ${small} && exec ${process.execPath} ${script} ${small} ${dataRoot}/other`;
    mkdirSync(join(dataRoot, "other"));
    const output = await $`unshare -m sh -c ${commands}`.quiet().text();
    expect(JSON.parse(output)).toEqual({
      kinds: ["no-space:  no space left on device", "no-space:  no space left on device"],
      ingest: [],
      unpack: [],
      layers: 1,
    });
  });
});

test.if(root)("a packed directory is the same bytes each time, and unpacks to the same tree", async () => {
  const base = await addLayer(content, lease, undefined, [{ path: "gone" }, { path: "d/old" }]);
  const top = await addLayer(content, lease, base, [
    { path: ".wh.gone" },
    { path: "d/", uid: 4, mode: 0o2750 },
    { path: "d/.wh..wh..opq" },
    { path: "d/file", data: "x".repeat(3_000_000), mode: 0o4711, xattrs: new Map([["user.a", Buffer.from([0, 255])]]) },
    { path: "d/same", type: "link", link: "d/file" },
    { path: "l", type: "symlink", link: "d" },
  ]);
  const one = await content.packDirectory({ directory: top.directory, lease });
  const two = await content.packDirectory({ directory: top.directory, lease });
  expect(two).toEqual(one);
  const { layer: again } = await content.packDirectory({ directory: top.directory, lease, onto: base.chainId });
  expect(again?.chainId).toBe(digestOf(`${base.chainId} ${one.diffId}`));
  expect(content.layerStack(again?.chainId ?? top.chainId)).toHaveLength(2);
  const third = await content.packDirectory({ directory: again?.directory ?? "", lease });
  expect(third.diffId).toBe(one.diffId);
  expect(readdirSync(join(dataRoot, "content/blobs/sha256"))).toContain(hexOf(one.blob.digest));
});
