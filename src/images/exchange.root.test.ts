import { describe, expect, test } from "bun:test";
import { hostileRegistry } from "../distribution/hostile.suite.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Digest } from "../oci/image.ts";
import { parseFilters } from "../wire/filters.ts";
import { ImageExchange } from "./exchange.ts";
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

  test("is kept while an upload of its repository runs, and for a while after it", async () => {
    await using shop = await workshop();
    const { state, content } = shop;
    const exchange = new ImageExchange({ state, content, changed: () => undefined, patience: 20 });
    const digest = digestOf("blob");
    const leased = () => state.all("SELECT key FROM lease_items WHERE key = ?", digest).length;
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const upload = exchange.append(REPOSITORY, "exchange-x", 0, readable);
    await writer.write(Buffer.from("a"));
    await exchange.finish(REPOSITORY, digest, digest, new Blob(["blob"]).stream());
    await Bun.sleep(200);
    expect(leased()).toBe(1);
    await writer.close();
    expect(await upload).toBe(1);
    while (leased() > 0) await Bun.sleep(5);
    exchange.close();
  });

  test("and then stalls gives way to others, and what came stays", async () => {
    await using shop = await workshop();
    const { state, content } = shop;
    const exchange = new ImageExchange({ state, content, changed: () => undefined, stall: 20 });
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const upload = failure(exchange.append(REPOSITORY, "exchange-x", 0, readable));
    await writer.write(Buffer.from("abc"));
    expect(await upload).toMatchObject({ kind: "unavailable", message: "no data for 0.02 seconds" });
    expect(await exchange.arrived("exchange-x")).toBe(3);
    exchange.close();
  });

  test("and a pull of the same blob wait for each other", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const fetched = (digest: Digest) =>
      registry.requests.filter(({ method, path }) => method === "GET" && path.endsWith(`/blobs/${digest}`)).length;
    for (const [tag, ends] of [
      ["whole", true],
      ["broken", false],
    ] as const) {
      const layer = layerOf({ a: tag });
      const digest = layer.diffId;
      registry.addImage("x", tag, [layer]);
      const pushed = await shop.content.ingest(digest);
      const signal = new AbortController();
      const given = failure(shop.images.pull(`${registry.host}/x:${tag}`, { progress: shop.progress, signal: signal.signal }));
      await Bun.sleep(50);
      signal.abort();
      expect((await given).kind).toBe("cancelled");
      const pulled = shop.images.pull(`${registry.host}/x:${tag}`, { progress: shop.progress });
      await Bun.sleep(50);
      await pushed.write(ends ? layer.bytes : layer.bytes.subarray(0, 100));
      using lease = shop.content.lease("push");
      if (ends) await pushed.commit({ digest, mediaType: MEDIA.ociLayer }, lease);
      else await pushed.suspend();
      await pulled;
      expect((await shop.images.runnable(`${registry.host}/x:${tag}`)).layers).toHaveLength(1);
      expect(fetched(digest)).toBe(ends ? 0 : 1);
    }
  });
});
