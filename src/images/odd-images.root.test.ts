import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { hostileRegistry, type HostileRegistry } from "../distribution/hostile.suite.ts";
import { MEDIA, type Descriptor } from "../oci/image.ts";
import { failure, layerOf, randomLayer, workshop } from "./workshop.suite.ts";

const PLATFORM = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };

function configOf(registry: HostileRegistry, ...layers: { diffId: string }[]): Descriptor {
  const config = { ...PLATFORM, rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) } };
  return registry.addBlob(new TextEncoder().encode(JSON.stringify(config)), MEDIA.ociConfig);
}

describe.skipIf(process.getuid?.() !== 0)("odd images", () => {
  test("layers plain, as gzip in several members, as zstd, of Docker's and of old types: one tree", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const layers = ["a", "b", "c", "d", "e"].map((name) => layerOf({ [name]: name.repeat(5000) }));
    const [plain, members, zstd, docker, old] = layers.map(({ bytes }) => bytes);
    const blobs = [
      registry.addBlob(plain ?? new Uint8Array(), MEDIA.ociLayer),
      registry.addBlob(
        Buffer.concat([gzipSync(members?.subarray(0, 3000) ?? ""), gzipSync(members?.subarray(3000) ?? "")]),
        MEDIA.ociLayerGzip,
      ),
      registry.addBlob(zstdCompressSync(zstd ?? ""), MEDIA.ociLayerZstd),
      registry.addBlob(gzipSync(docker ?? ""), MEDIA.dockerLayerGzip),
      registry.addBlob(gzipSync(old ?? ""), "application/octet-stream"),
    ];
    registry.addManifest("x", "1", {
      schemaVersion: 2,
      mediaType: MEDIA.ociManifest,
      config: configOf(registry, ...layers),
      layers: blobs,
    });
    await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress });
    const unpacked = (await shop.images.runnable(`${registry.host}/x:1`)).layers.toReversed();
    for (const [index, name] of ["a", "b", "c", "d", "e"].entries())
      expect(await Bun.file(join(unpacked[index] ?? "", name)).text()).toBe(name.repeat(5000));
  });

  test("a foreign layer comes from its own address where the registry lacks it, and no credentials go there", async () => {
    await using registry = await hostileRegistry({ token: { username: "u", password: "p" } });
    await using elsewhere = await hostileRegistry();
    await using shop = await workshop();
    const layer = randomLayer("a", 100_000);
    const blob = elsewhere.addBlob(layer.bytes, MEDIA.dockerForeignLayer);
    const urls = ["ftp://example.test/no", `http://${elsewhere.host}/v2/any/blobs/${blob.digest}`];
    registry.addManifest("x", "1", { schemaVersion: 2, config: configOf(registry, layer), layers: [{ ...blob, urls }] });
    await shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress, credentials: { username: "u", password: "p" } });
    expect((await shop.images.runnable(`${registry.host}/x:1`)).layers).toHaveLength(1);
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  test.each<[string, string, (registry: HostileRegistry) => void]>([
    [
      "a chart",
      'it holds something of the kind "application/vnd.cncf.helm.config.v1+json"',
      (registry) => {
        const config = registry.addBlob(new TextEncoder().encode('{"name":"chart"}'), "application/vnd.cncf.helm.config.v1+json");
        const layer = registry.addBlob(new Uint8Array(10), "application/vnd.cncf.helm.chart.content.v1.tar+gzip");
        registry.addManifest("x", "1", { schemaVersion: 2, config, layers: [layer] });
      },
    ],
    [
      "an artifact",
      'it holds something of the kind "application/vnd.example.thing"',
      (registry) => {
        const config = registry.addBlob(new TextEncoder().encode("{}"), "application/vnd.oci.empty.v1+json");
        registry.addManifest("x", "1", { schemaVersion: 2, artifactType: "application/vnd.example.thing", config, layers: [config] });
      },
    ],
    [
      "an encrypted layer",
      'it holds a layer of the kind "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"',
      (registry) => {
        const layer = layerOf({ a: "1" });
        const blob = registry.addBlob(layer.bytes, `${MEDIA.ociLayerGzip}+encrypted`);
        registry.addManifest("x", "1", { schemaVersion: 2, config: configOf(registry, layer), layers: [blob] });
      },
    ],
    [
      "indexes in indexes in indexes",
      "its indexes are nested too deep",
      (registry) => {
        let inner = registry.addManifest("x", "m", { schemaVersion: 2, config: configOf(registry), layers: [] });
        for (let depth = 0; depth < 6; depth++)
          inner = registry.addManifest("x", "1", { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [inner] }, MEDIA.ociIndex);
      },
    ],
    [
      "a thousand indexes in an index",
      "more than 64 indexes",
      (registry) => {
        const manifests = Array.from({ length: 1000 }, (_, index) =>
          registry.addManifest("x", "i", { schemaVersion: 2, manifests: [], annotations: { index: String(index) } }, MEDIA.ociIndex),
        );
        registry.addManifest("x", "1", { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests }, MEDIA.ociIndex);
      },
    ],
    [
      "ten thousand layers",
      "it has 10000 layers, more than the 500 that can be stacked",
      (registry) => {
        const layer = layerOf({ a: "1" });
        const blob = registry.addBlob(layer.bytes, MEDIA.ociLayer);
        registry.addManifest("x", "1", { schemaVersion: 2, config: configOf(registry, layer), layers: Array(10_000).fill(blob) });
      },
    ],
    [
      "a configuration of a gigabyte",
      "a document of 1073741824 bytes is too large",
      (registry) => {
        const layer = layerOf({ a: "1" });
        const config = { ...configOf(registry, layer), size: 2 ** 30 };
        registry.addManifest("x", "1", { schemaVersion: 2, config, layers: [registry.addBlob(layer.bytes, MEDIA.ociLayer)] });
      },
    ],
    [
      "a layer under another one's digest",
      "filesystem layer verification failed for digest",
      (registry) => {
        const [one, other] = [randomLayer("a", 5000), randomLayer("b", 5000)];
        const [mine, theirs] = [registry.addBlob(one.bytes, MEDIA.ociLayer), registry.addBlob(other.bytes, MEDIA.ociLayer)];
        registry.faults.swap = new Map([[mine.digest, theirs.digest]]);
        registry.addManifest("x", "1", { schemaVersion: 2, config: configOf(registry, one), layers: [mine] });
      },
    ],
  ])("%s: a sentence, nothing of the layers is fetched in vain, nothing stays", async (_, sentence, prepare) => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    prepare(registry);
    const error = await failure(shop.images.pull(`${registry.host}/x:1`, { progress: shop.progress }));
    expect(error.kind).toBe("invalid");
    expect(error.message).toContain(sentence);
    expect(registry.sent).toBeLessThan(20_000);
    await shop.content.collect();
    await shop.content.sweepPartials(-1000);
    expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
  });
});
