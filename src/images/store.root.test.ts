import { describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { hostileRegistry } from "../distribution/hostile.suite.ts";
import { digestOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import { parseFilters } from "../wire/filters.ts";
import { failure, layerOf, workshop, type Workshop } from "./workshop.suite.ts";

/** An image that was imported: one file, one name. */
async function make(shop: Workshop, name: string, files: Record<string, string> = { a: name }, changes: string[] = []): Promise<Digest> {
  const [repository = "", tag] = name.split(":");
  const options = { repository, ...(tag === undefined ? {} : { tag }), changes, progress: shop.progress };
  return shop.images.import(new Blob([layerOf(files).bytes as Uint8Array<ArrayBuffer>]).stream(), options);
}

async function tagsOf(shop: Workshop, filters: Record<string, string[]> = {}): Promise<string[]> {
  const list = await shop.images.list({ filters: parseFilters(JSON.stringify(filters)) });
  return list.flatMap((image) => (image.RepoTags.length === 0 ? ["<none>"] : image.RepoTags)).toSorted();
}

const noForce = { force: false, noPrune: false };
const force = { force: true, noPrune: false };

describe.skipIf(process.getuid?.() !== 0)("images", () => {
  test("are found by name, id, manifest and configuration digest, and short forms of all", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const image = registry.addImage("app", "1", [layerOf({ a: "1" })]);
    const name = `${registry.host}/app:1`;
    await shop.images.pull(name, { progress: shop.progress });
    const { configDigest, id } = await shop.images.runnable(name);
    expect(id).toBe(image.digest);
    for (const text of [
      id,
      id.slice(7),
      id.slice(7, 19),
      id.slice(0, 14),
      configDigest,
      configDigest.slice(7, 15),
      `${registry.host}/app@${id}`,
      `${name}@${id}`,
    ]) {
      expect((await shop.images.runnable(text)).id).toBe(id);
    }
    expect((await failure(shop.images.runnable("nothing"))).message).toBe("No such image: nothing:latest");
    expect((await failure(shop.images.runnable("UPPER"))).message).toBe(
      "invalid reference format: repository name (library/UPPER) must be lowercase",
    );
    expect((await failure(shop.images.runnable(`other@${id}`))).kind).toBe("not-found");
    expect((await failure(shop.images.runnable("0123456789abcdef"))).message).toBe("No such image: 0123456789abcdef");
  });

  test("a prefix of two ids is ambiguous", async () => {
    await using shop = await workshop();
    const id = await make(shop, "a");
    const twin = `${id.slice(0, 20)}${id.slice(20).replace(/[0-9a-f]/g, (digit) => (digit === "0" ? "1" : "0"))}`;
    shop.state.write((tx) => void tx.run("INSERT INTO images VALUES (?, 'x', 0, 0, 0)", twin), { durable: false });
    expect((await failure(shop.images.inspect(id.slice(7, 17)))).message).toBe(
      `multiple IDs found with provided prefix: ${id.slice(7, 17)}`,
    );
    expect((await shop.images.inspect(id)).Id).toBe(id);
  });

  test("a look-up that is cached asks nobody and never goes stale", async () => {
    await using shop = await workshop();
    const first = await make(shop, "a", { x: "1" });
    const second = await make(shop, "b", { x: "2" });
    expect((await shop.images.runnable("a")).id).toBe(first);
    let asked = 0;
    const { all, get } = shop.state;
    shop.state.all = ((...question) => (asked++, all.apply(shop.state, question))) as typeof all;
    shop.state.get = ((...question) => (asked++, get.apply(shop.state, question))) as typeof get;
    for (let round = 0; round < 1000; round++) await shop.images.runnable("a");
    expect(asked).toBe(0);
    await shop.images.tag("b", { repository: "a" });
    expect((await shop.images.runnable("a")).id).toBe(second);
    expect(shop.images.displayName("a", second)).toBe("a");
    expect(shop.images.displayName("a", first)).toBe(first.slice(7, 19));
    expect(shop.images.displayName(first.slice(7, 15), first)).toBe(first.slice(7, 19));
    await shop.images.remove("a", noForce);
    expect((await failure(shop.images.runnable("a"))).kind).toBe("not-found");
  });

  test("use is noted of the image and of every layer below it", async () => {
    await using registry = await hostileRegistry();
    await using shop = await workshop();
    const { digest } = registry.addImage("app", "1", [layerOf({ a: "1" }), layerOf({ b: "2" })]);
    await shop.images.pull(`${registry.host}/app:1`, { progress: shop.progress });
    await make(shop, "other");
    const write = { durable: false };
    for (const table of ["images", "layers"]) shop.state.write((tx) => tx.run(`UPDATE ${table} SET last_used = 0`), write);
    shop.state.write((tx) => shop.images.touch(tx, digest), write);
    const used = (table: string): unknown => shop.state.get(`SELECT COUNT(*) AS all_of_them, SUM(last_used > 0) AS used FROM ${table}`);
    expect(used("images")).toEqual({ all_of_them: 2, used: 1 });
    expect(used("layers")).toEqual({ all_of_them: 3, used: 2 });
  });

  test("the list and its filters", async () => {
    await using shop = await workshop();
    const old = await make(shop, "one:1", { a: "1" }, ["LABEL tier=web", "LABEL keep="]);
    await make(shop, "two:2", { a: "2" }, ["LABEL tier=db"]);
    await make(shop, "one:1", { a: "3" });
    expect(await tagsOf(shop)).toEqual(["<none>", "one:1", "two:2"]);
    expect(await tagsOf(shop, { dangling: ["true"] })).toEqual(["<none>"]);
    expect(await tagsOf(shop, { dangling: ["false"] })).toEqual(["one:1", "two:2"]);
    expect(await tagsOf(shop, { reference: ["t*"] })).toEqual(["two:2"]);
    expect(await tagsOf(shop, { reference: ["*:1"] })).toEqual(["one:1"]);
    expect(await tagsOf(shop, { label: ["tier=db"] })).toEqual(["two:2"]);
    expect(await tagsOf(shop, { label: ["tier", "keep"] })).toEqual(["<none>"]);
    expect(await tagsOf(shop, { before: ["two:2"] })).toEqual(["<none>"]);
    expect(await tagsOf(shop, { since: [old] })).toEqual(["one:1", "two:2"]);
    expect(await tagsOf(shop, { until: ["1h"] })).toEqual([]);
    expect((await failure(shop.images.list({ filters: parseFilters('{"nope":["1"]}') }))).message).toBe("invalid filter 'nope'");
    expect((await failure(shop.images.list({ filters: parseFilters('{"before":["gone"]}') }))).message).toBe("No such image: gone:latest");
    expect(shop.images.count()).toBe(3);
  });

  test("inspect and history in Docker's shapes", async () => {
    await using shop = await workshop();
    const id = await make(shop, "one:1", { a: "1" }, ["CMD /a", "ENV A=b", "LABEL l=v"]);
    await shop.images.tag("one:1", { repository: "reg.example/two", tag: "x" });
    const found = await shop.images.inspect("one:1");
    expect(found).toMatchObject({
      Id: id,
      RepoTags: ["one:1", "reg.example/two:x"],
      RepoDigests: [`one@${id}`, `reg.example/two@${id}`],
      Os: "linux",
      Config: { Cmd: ["/bin/sh", "-c", "/a"], Env: ["A=b"], Labels: { l: "v" } },
      RootFS: { Type: "layers", Layers: [layerOf({ a: "1" }).diffId] },
      Descriptor: { digest: id, mediaType: "application/vnd.oci.image.manifest.v1+json" },
    });
    const [list] = await shop.images.list({ filters: new Map() });
    expect(list?.Size).toBe(found.Size ?? -1);
    expect(await shop.images.history("one:1")).toMatchObject([
      { Id: id, Tags: ["one:1", "reg.example/two:x"], Comment: "Imported from -" },
    ]);
  });

  test("removal: names first, then the image; Docker's conflicts", async () => {
    await using shop = await workshop();
    const id = await make(shop, "one:1");
    await shop.images.tag("one:1", { repository: "two" });
    expect(await shop.images.remove("two", noForce)).toEqual([{ Untagged: "two:latest" }]);
    await shop.images.tag("one:1", { repository: "two" });
    expect((await failure(shop.images.remove(id, noForce))).message).toBe(
      `conflict: unable to delete ${id.slice(7, 19)} (must be forced) - image is referenced in multiple repositories`,
    );
    await shop.images.remove("two", noForce);
    const user = { image: id, id: "c".repeat(64), name: "web", running: true };
    shop.users.push(user);
    const used = await failure(shop.images.remove("one:1", noForce));
    expect(used.kind).toBe("conflict");
    expect(used.message).toBe(
      `conflict: unable to remove repository reference "one:1" (must force) - container cccccccccccc is using its referenced image ${id.slice(7, 19)}`,
    );
    expect((await failure(shop.images.remove(id.slice(7), force))).message).toBe(
      `conflict: unable to delete ${id.slice(7, 19)} (cannot be forced) - image is being used by running container cccccccccccc`,
    );
    user.running = false;
    expect((await failure(shop.images.remove(id, noForce))).message).toBe(
      `conflict: unable to delete ${id.slice(7, 19)} (must be forced) - image is being used by stopped container cccccccccccc`,
    );
    expect(await shop.images.remove("one:1", force)).toEqual([{ Untagged: "one:1" }]);
    expect(await tagsOf(shop)).toEqual(["<none>"]);
    shop.users.length = 0;
    expect(await shop.images.remove(id, noForce)).toEqual([{ Deleted: id }]);
    expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
    const events = shop.state.all<{ action: string }>("SELECT action FROM events").map((event) => event.action);
    expect(events).toEqual(["tag", "import", "tag", "untag", "tag", "untag", "untag", "delete"]);
  });

  test("events of names carry the image's labels, as Docker's do", async () => {
    await using shop = await workshop();
    await make(shop, "labelled:1", { a: "1" }, ["LABEL k=v"]);
    await shop.images.tag("labelled:1", { repository: "labelled", tag: "2" });
    await new Response(await shop.images.save(["labelled:2"])).bytes();
    await shop.images.remove("labelled:2", noForce);
    const rows = shop.state.all<{ action: string; attributes: string }>(
      "SELECT action, attributes_json AS attributes FROM events ORDER BY sequence",
    );
    const labels = rows.map(({ action, attributes }) => `${action} ${(JSON.parse(attributes) as { k?: string }).k}`);
    expect(labels).toEqual(["tag v", "import v", "tag v", "save v", "untag v"]);
  });

  test("prune takes what has no name, or all that no container uses", async () => {
    await using shop = await workshop();
    const gone = await make(shop, "one", { a: "1" });
    const used = await make(shop, "one", { a: "2" });
    const spare = await make(shop, "two", { a: "3" });
    shop.users.push({ image: used, id: "c".repeat(64), name: "web", running: false });
    const first = await shop.images.prune(new Map());
    expect(first.deleted).toEqual([{ Deleted: gone }]);
    expect(first.bytes).toBeGreaterThan(0);
    const all = await shop.images.prune(parseFilters('{"dangling":["false"]}'));
    expect(all.deleted).toEqual([{ Untagged: "two:latest" }, { Deleted: spare }]);
    expect(await tagsOf(shop)).toEqual(["one:latest"]);
  });

  test("save and load: the same images, names and ids, also packed", async () => {
    await using shop = await workshop();
    const one = await make(shop, "one:1", { a: "1" });
    const two = await make(shop, "two:1", { a: "2" });
    await shop.images.tag("two:1", { repository: "two", tag: "2" });
    const archive = await new Response(await shop.images.save(["one:1", "two"])).bytes();
    const nameless = await new Response(await shop.images.save([one])).bytes();
    expect(shop.state.all("SELECT * FROM leases")).toEqual([]);
    for (const bytes of [archive, gzipSync(archive), zstdCompressSync(archive)]) {
      await using other = await workshop();
      await other.images.load(new Blob([bytes as Uint8Array<ArrayBuffer>]).stream(), { progress: other.progress });
      expect(other.messages.filter((message) => message.stream).map((message) => message.stream)).toEqual([
        "Loaded image: one:1\n",
        "Loaded image: two:1\n",
        "Loaded image: two:2\n",
      ]);
      expect((await other.images.runnable("one:1")).id).toBe(one);
      expect((await other.images.runnable("two:2")).id).toBe(two);
      expect(other.images.descriptor(one)?.mediaType).toBe("application/vnd.oci.image.manifest.v1+json");
      const again = await new Response(await other.images.save(["one:1", "two"])).bytes();
      expect(digestOf(again)).toBe(digestOf(archive));
    }
    await using other = await workshop();
    await other.images.load(new Blob([nameless]).stream(), { progress: other.progress });
    expect(other.messages.at(-1)).toEqual({ stream: `Loaded image ID: ${one}\n` });
  });

  test("load takes Docker's old form: links, configuration by name, plain layers", async () => {
    await using shop = await workshop();
    const layer = layerOf({ a: "1" });
    const config = JSON.stringify({
      os: "linux",
      architecture: "amd64",
      config: { Cmd: ["/a"] },
      rootfs: { type: "layers", diff_ids: [layer.diffId] },
    });
    const hex = digestOf(config).slice(7);
    const old = layerOf({
      [`${hex}.json`]: config,
      "abc/VERSION": "1.0",
      "abc/json": "{}",
      "abc/layer.tar": layer.bytes,
      "manifest.json": JSON.stringify([{ Config: `${hex}.json`, RepoTags: ["old:1"], Layers: ["abc/layer.tar"] }]),
      repositories: "{}",
    });
    await shop.images.load(new Blob([old.bytes as Uint8Array<ArrayBuffer>]).stream(), { progress: shop.progress, quiet: true });
    expect(shop.messages).toEqual([{ stream: "Loaded image: old:1\n" }]);
    const runnable = await shop.images.runnable("old:1");
    expect(runnable.configDigest).toBe(digestOf(config));
    expect(await Bun.file(`${runnable.layers[0]}/a`).text()).toBe("1");
  });

  test.each([
    ["nothing", new Uint8Array()],
    ["no tar", new TextEncoder().encode("x".repeat(2000))],
    ["a tar without an image", layerOf({ a: "1" }).bytes],
    [
      "a blob with another digest than its name",
      layerOf({ [`blobs/sha256/${"0".repeat(64)}`]: "x", "index.json": '{"manifests":[]}' }).bytes,
    ],
    [
      "a missing layer",
      layerOf({
        "manifest.json": JSON.stringify([{ Config: "c.json", RepoTags: null, Layers: ["x/layer.tar"] }]),
        "c.json": '{"rootfs":{"diff_ids":[]}}',
      }).bytes,
    ],
    ["an archive that is cut", layerOf({ "index.json": "x".repeat(5000) }).bytes.subarray(0, 3000)],
    ["a gzip that is cut", gzipSync(layerOf({ "index.json": crypto.randomUUID().repeat(500) }).bytes).subarray(0, 300)],
  ])("load refuses %s and leaves nothing", async (_, bytes) => {
    await using shop = await workshop();
    const error = await failure(shop.images.load(new Blob([bytes as Uint8Array<ArrayBuffer>]).stream(), { progress: shop.progress }));
    expect(error.kind).toBe("invalid");
    await shop.content.collect();
    expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
    expect(shop.state.all("SELECT * FROM leases")).toEqual([]);
    expect(shop.state.all("SELECT * FROM images")).toEqual([]);
  });

  test.each([
    ["nothing", new Uint8Array()],
    ["no tar", new TextEncoder().encode("x".repeat(2000))],
  ])("import refuses %s and leaves nothing", async (_, bytes) => {
    await using shop = await workshop();
    const options = { repository: "x", changes: [], progress: shop.progress };
    expect((await failure(shop.images.import(new Blob([bytes]).stream(), options))).kind).toBe("invalid");
    await shop.content.collect();
    expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
  });
});
