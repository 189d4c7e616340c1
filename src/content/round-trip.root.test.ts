import { afterAll, expect, test } from "bun:test";
import { $ } from "bun";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { hexOf } from "../oci/digest.ts";
import { type Descriptor, MEDIA } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { describeTar, describeTree } from "./layer-fixture.ts";
import { openContent } from "./open.ts";
import { treeSize } from "./trees.ts";
import { makeRandomTree, seeded, type TreeTaste } from "./random-tree-fixture.ts";

const able = process.getuid?.() === 0;
const umoci = able && Bun.which("umoci") !== null;
const seed = Number(process.env["SEED"] ?? process.env["LIGHTER_TEST_SEED"] ?? Date.now() % 1_000_000);
const ROUNDS = process.env["LIGHTER_TEST_FULL"] === "1" ? 200 : 20;
// In memory: many small files take long on a busy disk.
const work = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "lighter-round-trip-"));
const state = new State(join(work, "state.db"));
const content = await openContent({ dataRoot: join(work, "data"), state });
afterAll(() => {
  state.close();
  rmSync(work, { recursive: true, force: true });
}, 300_000);

/** All that is in a tree, times of directories included; fractions of seconds are no part of a layer. */
async function treeOf(directory: string): Promise<Map<string, string>> {
  const lines = await describeTree(directory);
  const child = Bun.spawn(["find", ".", "-mindepth", "1", "-type", "d", "-printf", "%p %Ts\\0"], { cwd: directory, stdout: "pipe" });
  for (const line of Buffer.from(await new Response(child.stdout).arrayBuffer())
    .toString("latin1")
    .split("\0"))
    lines.set(`time of ${line}`, "");
  return lines;
}

async function packed(directory: string): Promise<{ digest: `sha256:${string}`; layer: string; size: number; tar: string }> {
  using lease = content.lease("test");
  const { blob, layer } = await content.packDirectory({ directory, lease, onto: null });
  const tar = join(work, "layer.tar");
  await $`gzip -dc ${content.blobPath(blob.digest)} > ${tar}`.quiet();
  return { digest: blob.digest, layer: layer?.directory ?? "", size: layer?.size ?? 0, tar };
}

function random(name: string, round: number, taste: TreeTaste = {}): string {
  const directory = join(work, `${name}${round}`);
  mkdirSync(directory);
  makeRandomTree(directory, seeded(seed * 1000 + round), taste);
  return directory;
}

test.skipIf(!able)(
  `random trees, packed as layers: our own unpacking and GNU tar's give the same again (SEED=${seed})`,
  async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const directory = random("tree", round);
      const before = await treeOf(directory);
      const { layer, size, tar } = await packed(directory);
      expect(await treeOf(layer)).toEqual(before);
      expect((await treeSize(layer)).bytes).toBe(size);
      const theirs = join(work, `gnu${round}`);
      mkdirSync(theirs);
      await $`tar -C ${theirs} -xpf ${tar} --numeric-owner --xattrs ${"--xattrs-include=*"}`.quiet();
      const gnu = await treeOf(theirs);
      expect(withoutDevices(gnu)).toEqual(withoutDevices(before));
      for (const path of [directory, theirs]) rmSync(path, { recursive: true });
    }
  },
  600_000,
);

/** GNU tar keeps no attributes of devices and fifos. */
function withoutDevices(tree: Map<string, string>): Map<string, string> {
  return new Map([...tree].map(([path, line]) => [path, /^(char|block|fifo)/.test(line) ? (line.split(" user.")[0] ?? "") : line]));
}

test.skipIf(!umoci)(
  `random trees, packed as layers: umoci gives the same again (SEED=${seed})`,
  async () => {
    for (let round = 0; round < Math.ceil(ROUNDS / 4); round++) {
      const directory = random("umoci", round, { bytes: false, extremes: false });
      const { digest, tar } = await packed(directory);
      const theirs = await umociUnpacks(digest, tar, round);
      expect(await treeOf(theirs)).toEqual(await treeOf(directory));
      rmSync(directory, { recursive: true });
    }
  },
  600_000,
);

async function umociUnpacks(digest: `sha256:${string}`, tar: string, round: number): Promise<string> {
  const layout = join(work, `layout${round}`);
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  const store = (bytes: Uint8Array, mediaType: string): Descriptor => {
    const found = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}` as const;
    writeFileSync(join(layout, "blobs/sha256", hexOf(found)), bytes);
    return { mediaType, digest: found, size: bytes.length };
  };
  const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  const layer = store(new Uint8Array(await Bun.file(content.blobPath(digest)).arrayBuffer()), MEDIA.ociLayerGzip);
  const diffId = `sha256:${new Bun.CryptoHasher("sha256").update(new Uint8Array(await Bun.file(tar).arrayBuffer())).digest("hex")}`;
  const config = store(
    json({ os: "linux", architecture: "amd64", config: {}, rootfs: { type: "layers", diff_ids: [diffId] }, history: [{}] }),
    MEDIA.ociConfig,
  );
  const manifest = store(json({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers: [layer] }), MEDIA.ociManifest);
  const named = { ...manifest, annotations: { "org.opencontainers.image.ref.name": "t" } };
  writeFileSync(join(layout, "index.json"), json({ schemaVersion: 2, manifests: [named] }));
  writeFileSync(join(layout, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  const root = join(work, `umoci-root${round}`);
  await $`umoci raw unpack --image ${layout}:t ${root}`.quiet();
  return root;
}

test.skipIf(!able)("a hole of ten gigabytes costs kilobytes in the layer, and is one again for us, and for GNU tar", async () => {
  const directory = join(work, "hole");
  mkdirSync(directory);
  writeFileSync(join(directory, "big"), "begin");
  truncateSync(join(directory, "big"), 10 * 2 ** 30);
  const { digest, layer, tar } = await packed(directory);
  expect(statSync(content.blobPath(digest)).size).toBeLessThan(4096);
  expect(statSync(join(layer, "big"))).toMatchObject({ size: 10 * 2 ** 30, blocks: 8 });
  const theirs = join(work, "hole-gnu");
  mkdirSync(theirs);
  await $`tar -C ${theirs} -xf ${tar}`.quiet();
  expect(statSync(join(theirs, "big"))).toMatchObject({ size: 10 * 2 ** 30, blocks: 8 });
  expect((await Bun.file(join(theirs, "big")).slice(0, 5).text()).toString()).toBe("begin");
});

test.skipIf(!able)("small holes are plain zeros in the archive", async () => {
  const directory = join(work, "small");
  mkdirSync(directory);
  writeFileSync(join(directory, "file"), "");
  truncateSync(join(directory, "file"), 500_000);
  const { digest } = await packed(directory);
  const tar = gunzipSync(await Bun.file(content.blobPath(digest)).arrayBuffer());
  expect(describeTar(tar).get("file")).toStartWith("file 644 0 0 500000 ");
  expect(tar.includes("GNU.sparse")).toBe(false);
});
