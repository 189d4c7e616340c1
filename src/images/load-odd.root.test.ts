import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { MEDIA } from "../oci/image.ts";
import { parseFilters } from "../wire/filters.ts";
import { Layout, sha256, tarOf, type Part } from "./layout-fixture.ts";
import { failure, layerOf, workshop, type Workshop } from "./workshop.suite.ts";

async function load(shop: Workshop, layout: Layout): Promise<void> {
  const archive = new Blob([layout.archive() as Uint8Array<ArrayBuffer>]).stream();
  await shop.images.load(archive, { progress: shop.progress, quiet: true });
}

function plain(bytes: Uint8Array): Uint8Array {
  return bytes;
}

describe.skipIf(process.getuid?.() !== 0)("odd archives", () => {
  test("load: what is no image stays with the one that it is about, and a name by another digest is left out", async () => {
    await using shop = await workshop();
    const layout = new Layout();
    const image = layout.image([layerOf({ a: "1" }).bytes]);
    const payload = layout.add("{}", "application/vnd.dev.cosign.simplesigning.v1+json");
    const config = layout.json({ rootfs: { type: "layers", diff_ids: [payload.digest] } }, MEDIA.ociConfig);
    const signature = layout.json({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers: [payload] }, MEDIA.ociManifest);
    const index = layout.json({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [image, signature] }, MEDIA.ociIndex);
    layout.name(signature, "docker.io/library/signature:1");
    layout.name(index, "docker.io/library/signed:1");
    layout.name(image, `docker.io/library/other@sha256:${"a".repeat(64)}`);
    await load(shop, layout);
    expect(shop.messages).toEqual([{ stream: "Loaded image: signed:1\n" }, { stream: `Loaded image ID: ${image.digest}\n` }]);
    expect((await shop.images.runnable("signed:1")).manifest).toBe(image.digest);
    await shop.content.collect();
    const saved = Buffer.from(await new Response(await shop.images.save(["signed:1"])).bytes());
    expect(saved.includes(`blobs/sha256/${payload.digest.slice(7)}`)).toBe(true);
  });

  test.each([
    ["a layer", "it has 2048 bytes, what refers to it says 2053", { layer: 5 }],
    ["the configuration", "bytes, what refers to it says", { config: -1 }],
    ["the manifest", "bytes, what refers to it says", { manifest: 1 }],
  ])("load refuses a size that lies: of %s", async (_, words, wrong: { layer?: number; config?: number; manifest?: number }) => {
    await using shop = await workshop();
    const layout = new Layout();
    const layer = layout.add(tarOf([{ path: "a", data: "1" }]), MEDIA.ociLayer);
    const rootfs = { type: "layers", diff_ids: [layer.digest] };
    const config = layout.json({ os: "linux", architecture: "amd64", config: {}, rootfs }, MEDIA.ociConfig);
    const lie = (part: Part, by = 0): Part => ({ ...part, size: part.size + by });
    const parts = { config: lie(config, wrong.config), layers: [lie(layer, wrong.layer)] };
    const manifest = layout.json({ schemaVersion: 2, mediaType: MEDIA.ociManifest, ...parts }, MEDIA.ociManifest);
    layout.name(lie(manifest, wrong.manifest), "docker.io/library/liar:1");
    const error = await failure(load(shop, layout));
    expect([error.kind, error.message]).toEqual(["invalid", expect.stringContaining(words)]);
    expect(shop.state.all("SELECT * FROM images")).toEqual([]);
  });

  test("load says what is missing of an image, and what an archive holds instead of one", async () => {
    await using shop = await workshop();
    const layout = new Layout();
    const image = layout.image([layerOf({ a: "1" }).bytes], { name: "docker.io/library/part:1" });
    const { layers } = JSON.parse(new TextDecoder().decode(layout.blobs.get(image.digest.slice(7)))) as { layers: Part[] };
    const layer = layers[0]?.digest ?? "";
    layout.blobs.delete(layer.slice(7));
    const missing = await failure(load(shop, layout));
    expect(missing.message).toBe(`invalid archive: does not contain an image: ${layer} is missing`);
    const chart = new Layout();
    const config = chart.json({}, "application/vnd.cncf.helm.config.v1+json");
    chart.name(
      chart.json({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers: [] }, MEDIA.ociManifest),
      "docker.io/library/chart:1",
    );
    expect((await failure(load(shop, chart))).message).toBe(
      'invalid archive: does not contain an image: it holds something of the kind "application/vnd.cncf.helm.config.v1+json"',
    );
  });

  test("an image that does not tell when it was made is not told to have been made now", async () => {
    await using shop = await workshop();
    const layout = new Layout();
    layout.image([layerOf({ a: "1" }).bytes], { name: "docker.io/library/timeless:1" });
    await load(shop, layout);
    expect((await shop.images.list({ filters: parseFilters(undefined) }))[0]?.Created).toBe(0);
    expect(await shop.images.inspect("timeless:1", {})).not.toHaveProperty("Created");
  });

  test("save: of an image for several platforms, manifest.json has the one that runs here", async () => {
    await using shop = await workshop();
    const layout = new Layout();
    const far = layout.image([layerOf({ a: "far" }).bytes], { architecture: "s390x" });
    const near = layout.image([layerOf({ a: "near" }).bytes]);
    const index = layout.json({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [far, near] }, MEDIA.ociIndex);
    layout.name(index, "docker.io/library/both:1");
    await load(shop, layout);
    const archive = await new Response(await shop.images.save(["both:1"])).bytes();
    const child = Bun.spawn(["tar", "-xOf", "-", "manifest.json"], { stdin: archive, stdout: "pipe" });
    const entries = (await new Response(child.stdout).json()) as { Config: string; RepoTags: string[] }[];
    const { config } = JSON.parse(new TextDecoder().decode(layout.blobs.get(near.digest.slice(7)))) as { config: Part };
    expect(entries).toMatchObject([{ Config: `blobs/sha256/${config.digest.slice(7)}`, RepoTags: ["both:1"] }]);
    await using other = await workshop();
    await other.images.load(new Blob([archive as Uint8Array<ArrayBuffer>]).stream(), { progress: other.progress });
    for (const platform of ["linux/s390x", undefined])
      expect((await other.images.runnable("both:1", platform === undefined ? {} : { platform })).id).toBe(index.digest);
  });

  // Names as go-containerregistry (crane, ko, kaniko), Jib, Bazel's rules and others give them.
  test.each([
    ["crane", "sha256:CONFIG", "GZIP.tar.gz", gzipSync, MEDIA.ociLayerGzip],
    ["jib", "config.json", "GZIP.tar.gz", gzipSync, MEDIA.ociLayerGzip],
    ["zstd", "CONFIG.json", "layer.tar.zst", zstdCompressSync, MEDIA.ociLayerZstd],
    ["a folder for each", "CONFIG.json", "./GZIP/layer.tar", plain, MEDIA.ociLayer],
    ["any name", "config", "one", plain, MEDIA.ociLayer],
  ])(
    "load takes archives as others write them: %s",
    async (_, configName, layerName, pack: (bytes: Uint8Array) => Uint8Array, mediaType) => {
      await using shop = await workshop();
      const layer = tarOf([{ path: "a", data: "1" }]);
      const packed = pack(layer);
      const rootfs = { type: "layers", diff_ids: [sha256(layer)] };
      const config = JSON.stringify({ os: "linux", architecture: "amd64", config: { Cmd: ["/a"] }, rootfs });
      const fill = (name: string): string => name.replace("CONFIG", sha256(config).slice(7)).replace("GZIP", sha256(packed).slice(7));
      const manifest = [{ Config: fill(configName), RepoTags: ["made/elsewhere:1"], Layers: [fill(layerName)] }];
      const members = [
        { path: fill(configName), data: config },
        { path: fill(layerName), data: packed },
        { path: "manifest.json", data: JSON.stringify(manifest) },
      ];
      const archive = new Blob([tarOf(members) as Uint8Array<ArrayBuffer>]).stream();
      await shop.images.load(archive, { progress: shop.progress, quiet: true });
      expect(shop.messages).toEqual([{ stream: "Loaded image: made/elsewhere:1\n" }]);
      const runnable = await shop.images.runnable("made/elsewhere:1");
      expect(await Bun.file(`${runnable.layers[0]}/a`).text()).toBe("1");
      const kept = JSON.parse(new TextDecoder().decode(await shop.content.readBlob(runnable.manifest))) as { layers: Part[] };
      expect(kept.layers).toEqual([{ mediaType, digest: sha256(packed), size: packed.length }]);
    },
  );
});
