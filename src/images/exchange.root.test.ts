import { describe, expect, test } from "bun:test";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { parseFilters } from "../wire/filters.ts";
import { failure, layerOf, workshop } from "./workshop.suite.ts";

const REPOSITORY = { registry: "docker.io", repository: "library/x" };

describe.skipIf(process.getuid?.() !== 0)("what another daemon pushes", () => {
  test("under a name that is none is refused, and stores nothing", async () => {
    await using shop = await workshop();
    const { exchange } = shop.images;
    const layer = layerOf({ a: "1" });
    const config = new TextEncoder().encode(JSON.stringify({ rootfs: { type: "layers", diff_ids: [layer.diffId] } }));
    for (const bytes of [layer.bytes, config])
      await exchange.finish(REPOSITORY, digestOf(bytes), digestOf(bytes), new Blob([Buffer.from(bytes)]).stream());
    const described = (bytes: Uint8Array, mediaType: string) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
    const manifest = new TextEncoder().encode(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA.ociManifest,
        config: described(config, MEDIA.ociConfig),
        layers: [described(layer.bytes, MEDIA.ociLayer)],
      }),
    );
    for (const tag of ["", "a b", "-a", "a@b", "x".repeat(129)]) {
      const { kind, message } = await failure(exchange.putManifest(REPOSITORY, tag, manifest, MEDIA.ociManifest));
      expect([kind, message], tag).toEqual(["invalid", "invalid reference format"]);
    }
    expect(shop.content.blob(digestOf(manifest))).toBeUndefined();
    await exchange.putManifest(REPOSITORY, "ok", manifest, MEDIA.ociManifest);
    expect((await shop.images.list({ filters: parseFilters(undefined) })).flatMap(({ RepoTags }) => RepoTags)).toEqual(["x:ok"]);
    expect((await shop.images.runnable("x:ok")).id).toBe(digestOf(manifest));
    const unpacking = () => shop.state.all("SELECT id FROM leases WHERE purpose LIKE 'unpack%'").length;
    while (unpacking() > 0) await Bun.sleep(5);
  });
});
