import { describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { hostileRegistry, type HostileRegistry } from "../distribution/hostile.suite.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import { RANGES } from "./range-plan.ts";
import { failure, layerOf, randomLayer, workshop, type Workshop } from "./workshop.suite.ts";

/** An image of one layer with the configuration given. */
function image(registry: HostileRegistry, config: Descriptor): void {
  const layer = registry.addBlob(layerOf({ a: "1" }).bytes, MEDIA.ociLayer);
  registry.addManifest("x", "1", { schemaVersion: 2, config, layers: [layer] });
}

/** An image whose descriptor gives its layer another size than it has. */
function lie(registry: HostileRegistry, about: (size: number) => number): void {
  const layer = layerOf({ a: "1" });
  const blob = registry.addBlob(layer.bytes, MEDIA.ociLayer);
  const config = registry.addBlob(new TextEncoder().encode(JSON.stringify({ rootfs: { diff_ids: [layer.diffId] } })), MEDIA.ociConfig);
  registry.addManifest("x", "1", { schemaVersion: 2, config, layers: [{ ...blob, size: about(blob.size) }] });
}

function noTar(): { bytes: Uint8Array; diffId: Digest } {
  const bytes = new Uint8Array([0x1f, 0x8b, ...crypto.getRandomValues(new Uint8Array(2000))]);
  return { bytes, diffId: digestOf(bytes) };
}

/** What is in the tables that a pull writes. */
function rows({ state }: Workshop): Record<string, number> {
  const count = (table: string): number => state.all<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`)[0]?.n ?? -1;
  return Object.fromEntries(["images", "image_names", "image_manifests", "leases", "ingests"].map((table) => [table, count(table)]));
}

describe.skipIf(process.getuid?.() !== 0)("pull", () => {
  test("an image: Docker's messages in Docker's order, rows, event, files", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const layers = [layerOf({ a: "1" }), layerOf({ b: "2" })];
    const image = registry.addImage("x", "1", layers, { config: { Labels: { l: "v" }, Cmd: ["/a"] } });
    await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress });
    const of = (id: string | undefined): (string | undefined)[] => [
      ...new Set(shop.messages.filter((message) => message.id === id).map((message) => message.status)),
    ];
    const ids = [...new Set(shop.messages.map((message) => message.id))];
    expect(shop.messages[0]).toEqual({ status: "Pulling from x", id: "1" });
    expect(ids).toHaveLength(4);
    for (const id of ids.slice(1, 3)) {
      const order = ["Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"];
      expect(of(id)).toEqual(order);
    }
    expect(shop.messages.at(-2)).toEqual({ status: `Digest: ${image.digest}` });
    expect(shop.messages.at(-1)).toEqual({ status: `Status: Downloaded newer image for ${registry.host}/x:1` });
    expect(rows(shop)).toEqual({ images: 1, image_names: 1, image_manifests: 1, leases: 0, ingests: 0 });
    expect(
      shop.state.all<{ action: string; actor: string; attributes_json: string }>("SELECT action, actor, attributes_json FROM events"),
    ).toEqual([{ action: "pull", actor: `${registry.host}/x:1`, attributes_json: JSON.stringify({ l: "v", name: `${registry.host}/x` }) }]);
    const runnable = await shop.images.runnable(`${registry.host}/x:1`);
    expect(runnable.id).toBe(image.digest);
    expect(runnable.config.config?.Cmd).toEqual(["/a"]);
    expect(await Bun.file(join(runnable.layers[0] ?? "", "b")).text()).toBe("2");
    expect(await Bun.file(join(runnable.layers[1] ?? "", "a")).text()).toBe("1");
    shop.messages.length = 0;
    await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress });
    expect(shop.messages.map((message) => message.status)).toEqual([
      "Pulling from x",
      `Digest: ${image.digest}`,
      `Status: Image is up to date for ${registry.host}/x:1`,
    ]);
  });

  test("all tags end with one status, of the repository; by digest the first line names all of it", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const one = registry.addImage("x", "1", [layerOf({ a: "1" })], { config: {} });
    registry.addImage("x", "2", [layerOf({ b: "2" })], { config: {} });
    await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress });
    const statuses = async (): Promise<(string | undefined)[]> => {
      shop.messages.length = 0;
      await shop.images.pull(`${registry.host}/x`, { allTags: true, progress: shop.progress });
      return shop.messages.map(({ status }) => status).filter((status) => status?.startsWith("Status: "));
    };
    expect(await statuses()).toEqual([`Status: Downloaded newer image for ${registry.host}/x`]);
    expect(await statuses()).toEqual([`Status: Image is up to date for ${registry.host}/x`]);
    shop.messages.length = 0;
    await shop.images.pull(`${registry.host}/x@${one.digest}`, { progress: shop.progress });
    expect(shop.messages[0]).toEqual({ status: "Pulling from x", id: `${registry.host}/x@${one.digest}` });
  });

  test("of an index, the host's platform and its attestation come; others are known, and --platform asks for them", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const mine = {
      ...registry.addImage("x", "a", [layerOf({ a: "1" })]),
      platform: { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch },
    };
    const other = {
      ...registry.addImage("x", "b", [layerOf({ b: "2" })], { architecture: "s390x" }),
      platform: { os: "linux", architecture: "s390x" },
    };
    const said = registry.addBlob(new TextEncoder().encode("{}"), "application/vnd.in-toto+json");
    const attestation = {
      ...registry.addManifest("x", "c", { schemaVersion: 2, mediaType: MEDIA.ociManifest, config: said, layers: [said] }),
      platform: { os: "unknown", architecture: "unknown" },
      annotations: { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": mine.digest },
    };
    const index = registry.addManifest(
      "x",
      "1",
      { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [other, mine, attestation] },
      MEDIA.ociIndex,
    );
    const name = `${registry.host}/x:1`;
    await shop.images.pull(name, { progress: shop.progress });
    expect((await shop.images.runnable(name)).manifest).toBe(mine.digest);
    const summary = (await shop.images.inspect(name, { manifests: true })).Manifests ?? [];
    expect(summary.map(({ ID, Kind, Available }) => [ID, Kind, Available] as const)).toEqual([
      [other.digest, "image", false],
      [mine.digest, "image", true],
      [attestation.digest, "attestation", true],
    ]);
    const missing = await failure(shop.images.runnable(name, { platform: "linux/s390x" }));
    expect(missing.kind).toBe("not-found");
    expect(missing.message).toBe(`image with reference ${name} was found but does not provide the specified platform (linux/s390x)`);
    await shop.images.pull(name, { platform: "linux/s390x", progress: shop.progress });
    expect((await shop.images.runnable(name, { platform: "linux/s390x" })).manifest).toBe(other.digest);
    expect((await shop.images.runnable(name)).id).toBe(index.digest);
    expect(await shop.images.remove(name, { force: false, noPrune: false, platforms: ["linux/s390x"] })).toEqual([
      { Deleted: other.digest },
    ]);
    expect(shop.content.blob(other.digest)).toBeUndefined();
    expect((await shop.images.runnable(name)).manifest).toBe(mine.digest);
    const none = await failure(shop.images.pull(name, { platform: "linux/riscv64", progress: shop.progress }));
    expect(none.message).toBe("no matching manifest for linux/riscv64 in the manifest list entries");
  });

  test("an attestation, which is held in memory, comes in one piece however large it is", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const [os, architecture] = ["linux", process.arch === "x64" ? "amd64" : process.arch];
    const mine = { ...registry.addImage("x", "a", [layerOf({ a: "1" })]), platform: { os, architecture } };
    const large = registry.addBlob(new Uint8Array(RANGES.from + 1), "application/vnd.in-toto+json");
    const config = registry.addBlob(new TextEncoder().encode("{}"), MEDIA.ociConfig);
    const said = registry.addManifest("x", "c", { schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers: [large] });
    const attestation = {
      ...said,
      platform: { os: "unknown", architecture: "unknown" },
      annotations: { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": mine.digest },
    };
    const index = { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [mine, attestation] };
    registry.addManifest("x", "1", index, MEDIA.ociIndex);
    await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress });
    expect(shop.content.blob(large.digest)?.size).toBe(RANGES.from + 1);
    const asked = registry.requests.filter(({ path }) => path.endsWith(`/blobs/${large.digest}`));
    expect(asked.map(({ headers }) => headers.range)).toEqual([undefined]);
  });

  test("connections that break at random points: each goes on about where it stopped", async () => {
    const seed = Date.now();
    let next = seed;
    const random = (): number => (next = (next * 1103515245 + 12345) % 2147483648) / 2147483648;
    await using registry = await hostileRegistry({ drop: () => Math.floor(random() * 1_500_000) });
    await using shop = await workshop();
    const layers = [randomLayer("a", 3_000_000), randomLayer("b", 2_000_000)];
    const image = registry.addImage("x", "1", layers);
    await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress });
    expect((await shop.images.runnable(`${registry.host}/x:1`)).id, `seed ${seed}`).toBe(image.digest);
    const size = layers.reduce((sum, layer) => sum + layer.bytes.length, 0);
    // What the transport held when a connection broke is lost with it: some 100 KB each time.
    expect(registry.sent, `seed ${seed}`).toBeLessThan(size * 1.5);
  }, 60_000);

  test("a registry without ranges is asked for the whole again", async () => {
    let times = 0;
    await using registry = await hostileRegistry({ noRanges: true, drop: () => (++times === 2 ? 400_000 : undefined) });
    await using shop = await workshop();
    registry.addImage("x", "1", [randomLayer("a", 1_000_000)]);
    await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress });
    expect((await shop.images.runnable(`${registry.host}/x:1`)).layers).toHaveLength(1);
  });

  test("a wrong digest is an error, and nothing stays", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const layer = randomLayer("a", 200_000);
    registry.addImage("x", "1", [layer]);
    registry.faults.corrupt = new Set([layer.diffId]);
    const error = await failure(shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress }));
    expect(error.kind).toBe("invalid");
    expect(error.message).toBe(`filesystem layer verification failed for digest ${layer.diffId}`);
    expect(rows(shop)).toEqual({ images: 0, image_names: 0, image_manifests: 0, leases: 0, ingests: 0 });
    await shop.content.collect();
    expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
  });

  test.each<[string, (registry: HostileRegistry) => void]>([
    [
      "a configuration that is no JSON",
      (registry) => image(registry, registry.addBlob(new TextEncoder().encode("<html>"), MEDIA.ociConfig)),
    ],
    [
      "a configuration of another shape",
      (registry) => image(registry, registry.addBlob(new TextEncoder().encode('{"rootfs":7}'), MEDIA.ociConfig)),
    ],
    [
      "fewer diff ids than layers",
      (registry) => image(registry, registry.addBlob(new TextEncoder().encode('{"rootfs":{"diff_ids":[]}}'), MEDIA.ociConfig)),
    ],
    ["a layer larger than its descriptor says", (registry) => lie(registry, (size) => size - 10)],
    ["a layer smaller than its descriptor says", (registry) => lie(registry, (size) => size + 10)],
    ["a layer that is no tar", (registry) => void registry.addImage("x", "1", [noTar()])],
    [
      "a layer with a gzip that is damaged",
      (registry) => void registry.addImage("x", "1", [{ ...noTar(), mediaType: MEDIA.ociLayerGzip }]),
    ],
    [
      "an index in a circle of types",
      (registry) => void registry.addManifest("x", "1", { schemaVersion: 2, manifests: [null] }, MEDIA.ociIndex),
    ],
  ])(
    "%s: a sentence, and nothing stays",
    async (_, prepare) => {
      await using registry = await hostileRegistry();
      await using shop = await workshop();
      prepare(registry);
      const error = await failure(shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress }));
      expect(["invalid", "unavailable"]).toContain(error.kind);
      expect(rows(shop)).toMatchObject({ images: 0, image_names: 0, image_manifests: 0, leases: 0 });
      await shop.content.collect();
      await shop.content.sweepPartials(-1000);
      expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
    },
    60_000,
  );

  test("a layer with another diff id than the configuration says is an error, and nothing stays", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const layer = layerOf({ a: "1" });
    registry.addImage("x", "1", [{ bytes: layer.bytes, diffId: layerOf({ a: "2" }).diffId }]);
    expect((await failure(shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress }))).kind).toBe("invalid");
    await shop.content.collect();
    expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
    expect(rows(shop)).toEqual({ images: 0, image_names: 0, image_manifests: 0, leases: 0, ingests: 0 });
  });

  test("a pull that is cancelled goes on where it stopped, also after a restart", async () => {
    const root = await mkdtemp(join(tmpdir(), "lighter-resume-"));
    const layer = randomLayer("a", 2_000_000);
    await using registry = await hostileRegistry();
    registry.addImage("x", "1", [layer]);
    const name = `${registry.host}/x:1`;
    {
      await using shop = await workshop({ root });
      const abort = new AbortController();
      registry.faults.drop = () => 1_200_000;
      registry.faults.intercept = (request) => {
        if (request.headers.range !== undefined) abort.abort();
        return false;
      };
      expect((await failure(shop.images.pull(name, { progress: shop.progress, signal: abort.signal }))).kind).toBe("cancelled");
      expect(rows(shop)).toEqual({ images: 0, image_names: 0, image_manifests: 0, leases: 0, ingests: 1 });
      expect(shop.content.usage().partial).toBeGreaterThan(700_000);
    }
    registry.faults = {};
    registry.sent = 0;
    {
      await using shop = await workshop({ root });
      await shop.images.pull(name, { progress: shop.progress });
      expect((await shop.images.runnable(name)).layers).toHaveLength(1);
      expect(registry.sent).toBeLessThan(layer.bytes.length - 700_000);
      expect(rows(shop)["ingests"]).toBe(0);
    }
    await rm(root, { recursive: true, force: true });
  });

  test("what the registry warns of is told once, before the digest; a pull that fails tells it, too", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const { digest } = registry.addImage("x", "1", [layerOf({ a: "1" })]);
    registry.faults.intercept = (_request, response) => {
      response.setHeader("warning", '299 - "moves to another place"');
      return false;
    };
    const warning = { status: `WARNING: ${registry.host}: moves to another place` };
    await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress });
    expect(shop.messages.filter(({ status }) => status?.startsWith("WARNING"))).toEqual([warning]);
    expect(shop.messages.slice(-3, -1)).toEqual([warning, { status: `Digest: ${digest}` }]);
    await failure(shop.images.pull(`${registry.host}/y:1`, { progress: shop.progress }));
    expect(shop.messages.at(-1)).toEqual(warning);
    await shop.images.push(`${registry.host}/x:1`, { progress: shop.progress });
    expect(shop.messages.slice(-3).map(({ status }) => status)).toEqual([warning.status, expect.stringContaining(digest), undefined]);
  });

  test("a full disk is an error, and gives back what the pull took", async () => {
    const disk = await mkdtemp(join(tmpdir(), "lighter-full-"));
    await mount("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk);
    try {
      await using registry = await hostileRegistry();
      await using shop = await workshop({ dataRoot: disk });
      registry.addImage("x", "1", [randomLayer("a", 5_000_000)]);
      registry.addImage("y", "1", [randomLayer("a", 1_800_000)]);
      for (const name of ["x:1", "y:1"]) {
        const error = await failure(shop.images.pull(`${registry.host}/${name}`, { progress: shop.progress }));
        expect(error.kind).toBe("no-space");
        expect(error.message).toContain("no space left on device");
        expect(rows(shop)).toEqual({ images: 0, image_names: 0, image_manifests: 0, leases: 0, ingests: 0 });
        await shop.content.collect();
        expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
      }
    } finally {
      await unmounted(disk);
      await rm(disk, { recursive: true });
    }
  });

  test("a disk that is full of the first blobs of an archive is an error, and gives back what the load took", async () => {
    const disk = await mkdtemp(join(tmpdir(), "lighter-full-"));
    await mount("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk);
    try {
      await using shop = await workshop({ dataRoot: disk });
      // The second one's first megabyte still fits, its rest does not.
      const { bytes } = layerOf({ "a/layer.tar": new Uint8Array(1_500_000), "b/layer.tar": new Uint8Array(1_900_000) });
      const archive = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
      const error = await failure(shop.images.load(archive, { progress: shop.progress }));
      expect([error.kind, rows(shop)["ingests"]]).toEqual(["no-space", 0]);
      await shop.content.collect();
      expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
    } finally {
      await unmounted(disk);
      await rm(disk, { recursive: true });
    }
  });

  test("kill -9 in the middle leaves nothing but what can be resumed", async () => {
    const root = await mkdtemp(join(tmpdir(), "lighter-killed-"));
    await using registry = await hostileRegistry();
    const layer = randomLayer("a", 2_000_000);
    registry.addImage("x", "1", [layer]);
    const halted = Promise.withResolvers<void>();
    registry.faults.drop = (digest) => (digest === layer.diffId && registry.sent < 1_000_000 ? 1_500_000 : undefined);
    registry.faults.intercept = (request) => {
      if (request.headers.range === undefined) return false;
      halted.resolve();
      return true;
    };
    const script = `import { workshop } from "${import.meta.dir}/workshop.suite.ts";
      const shop = await workshop({ root: "${root}" });
      await shop.images.pull("${registry.host}/x:1", { progress: () => undefined });`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "inherit", stderr: "inherit" });
    await halted.promise;
    child.kill("SIGKILL");
    await child.exited;
    registry.faults = {};
    registry.sent = 0;
    // What of a connection that broke had arrived is the machine's luck; it asked for the rest, so that there is some.
    const folder = join(root, "content/ingest");
    // The configuration may be on its way to the disk still, beside the layer: then it is one more that can be resumed.
    const partial = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
    const here = Math.max(0, ...partial);
    expect(here).toBeGreaterThan(1000);
    {
      await using shop = await workshop({ root });
      const { ingests = 0, ...others } = rows(shop);
      expect(others).toEqual({ images: 0, image_names: 0, image_manifests: 0, leases: 0 });
      expect([1, 2]).toContain(ingests);
      await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress });
      expect(rows(shop)).toEqual({ images: 1, image_names: 1, image_manifests: 1, leases: 0, ingests: 0 });
      expect(registry.sent).toBeLessThan(layer.bytes.length - here + 1000);
      expect((await shop.images.runnable(`${registry.host}/x:1`)).layers).toHaveLength(1);
    }
    await rm(root, { recursive: true });
  });

  test("many pulls of one blob share one download; one that leaves does not end it", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const layer = randomLayer("a", 2_000_000);
    registry.addImage("x", "1", [layer]);
    registry.addImage("y", "1", [layer]);
    const abort = new AbortController();
    let times = 0;
    registry.faults.drop = (digest) => {
      if (digest !== layer.diffId || ++times > 1) return undefined;
      setTimeout(() => abort.abort(), 40);
      return 500_000;
    };
    const pulls = ["x:1", "x:1", "y:1", "x:1"].map((name, index) =>
      shop.images.pull(`${registry.host}/${name}`, { progress: shop.progress, ...(index === 0 ? { signal: abort.signal } : {}) }),
    );
    const results = await Promise.allSettled(pulls);
    expect(results.map((result) => result.status)).toEqual(["rejected", "fulfilled", "fulfilled", "fulfilled"]);
    expect(registry.sent).toBeLessThan(layer.bytes.length * 1.3);
    expect(rows(shop)).toMatchObject({ images: 1, image_names: 2, leases: 0 });
  });

  test("by digest: the name is the digest's, and the tag stays free", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const image = registry.addImage("x", "1", [layerOf({ a: "1" })]);
    await shop.images.pull(`${registry.host}/x@${image.digest}`, { progress: shop.progress });
    const [summary] = await shop.images.list({ filters: new Map() });
    expect(summary?.RepoTags).toEqual([]);
    expect(summary?.RepoDigests).toEqual([`${registry.host}/x@${image.digest}`]);
    expect((await failure(shop.images.runnable(`${registry.host}/x:1`))).message).toBe(`No such image: ${registry.host}/x:1`);
    expect((await shop.images.runnable(`${registry.host}/x@${image.digest}`)).id).toBe(image.digest);
  });

  test("a layer that unpacks to more than is allowed is an error while it arrives, and nothing stays", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop({ maxLayerSize: 3_000_000 });
    const fine = layerOf({ a: new Uint8Array(2_500_000) });
    const bomb = layerOf({ a: new Uint8Array(30_000_000) });
    const packed = ({ bytes, diffId }: typeof fine) => ({ bytes: gzipSync(bytes), diffId, mediaType: MEDIA.ociLayerGzip });
    registry.addImage("fine", "1", [packed(fine)]);
    registry.addImage("bomb", "1", [layerOf({ b: "1" }), packed(bomb), randomLayer("c", 300_000)]);
    await shop.images.pull(`${registry.host}/fine:1`, { progress: shop.progress });
    await shop.images.remove(`${registry.host}/fine:1`, { force: true, noPrune: false });
    const error = await failure(shop.images.pull(`${registry.host}/bomb:1`, { progress: shop.progress }));
    expect(error.kind).toBe("invalid");
    expect(error.message).toBe(
      `Cannot unpack the layer: it unpacks to more than 3MB; where that is right, set "max-layer-size" in the daemon's configuration`,
    );
    await shop.content.collect();
    await shop.content.sweepPartials(-1000);
    expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
  });

  test("a manifest with more layers than can be stacked is refused before anything is fetched", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const layer = layerOf({ a: "1" });
    registry.addImage(
      "x",
      "1",
      Array.from({ length: 501 }, () => layer),
    );
    expect((await failure(shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress }))).message).toContain("501 layers");
    expect(registry.sent).toBe(0);
  });
});

/** Unmounts a disk once all of its files are closed: who read one while it grew may be a moment behind. */
async function unmounted(disk: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if ((await Bun.spawn(["umount", disk], { stderr: "ignore" }).exited) === 0) return;
    await Bun.sleep(50);
  }
  await mount("umount", disk);
}

async function mount(...command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stderr: "pipe" });
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${await child.stderr.text()}`);
}
