import { expect, test } from "bun:test";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openContent } from "../content/open.ts";
import type { Content } from "../content/content.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { openRegistry } from "./open.ts";
import type { Registry } from "./registry.ts";
import { REGISTRY_ROOTS } from "./rows.ts";
import { shippedImages, type ShippedImage } from "./shipped.ts";

interface Shop extends AsyncDisposable {
  state: State;
  content: Content;
  registry: Registry;
  call(
    method: string,
    path: string,
    options?: { body?: string | Uint8Array<ArrayBuffer>; headers?: Record<string, string> },
  ): Promise<Response>;
}

async function open(shipped: () => Promise<readonly ShippedImage[]> = () => Promise.resolve([]), root?: string): Promise<Shop> {
  const folder = root ?? (await mkdtemp(join(tmpdir(), "lighter-registry-")));
  const state = new State(join(folder, "state.db"));
  const content = await openContent({ dataRoot: folder, state, roots: [REGISTRY_ROOTS] });
  const registry = await openRegistry({ state, content, socket: join(folder, "registry.sock"), shipped });
  return {
    state,
    content,
    registry,
    call: (method, path, options = {}) => fetch(`http://registry${path}`, { method, unix: registry.unix, redirect: "manual", ...options }),
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      state.close();
      if (root === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

async function codeOf(response: Response): Promise<string> {
  const { errors } = (await response.json()) as { errors: { code: string }[] };
  return errors[0]?.code ?? "";
}

/** Pushes a blob in one request; its descriptor. */
async function pushBlob(shop: Shop, repository: string, text: string): Promise<{ mediaType: string; digest: string; size: number }> {
  const digest = digestOf(text);
  const begun = await shop.call("POST", `/v2/${repository}/blobs/uploads/`);
  const done = await shop.call("PUT", `${begun.headers.get("location")}?digest=${digest}`, { body: text });
  expect(done.status).toBe(201);
  return { mediaType: "application/octet-stream", digest, size: text.length };
}

test("push and pull of a manifest with its blobs", async () => {
  await using shop = await open();
  const config = await pushBlob(shop, "a/b", "{}");
  const layer = await pushBlob(shop, "a/b", "layer");
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers: [layer] });
  const put = await shop.call("PUT", "/v2/a/b/manifests/1.0", { body: manifest, headers: { "content-type": MEDIA.ociManifest } });
  expect(put.status).toBe(201);
  expect(put.headers.get("docker-content-digest")).toBe(digestOf(manifest));
  for (const name of ["1.0", digestOf(manifest)]) {
    const got = await shop.call("GET", `/v2/a/b/manifests/${name}`);
    expect(got.headers.get("content-type")).toBe(MEDIA.ociManifest);
    expect(await got.text()).toBe(manifest);
    const head = await shop.call("HEAD", `/v2/a/b/manifests/${name}`);
    expect(head.headers.get("content-length")).toBe(String(manifest.length));
    expect(head.headers.get("docker-content-digest")).toBe(digestOf(manifest));
  }
  expect(await (await shop.call("GET", `/v2/a/b/blobs/${layer.digest}`)).text()).toBe("layer");
  expect((await shop.call("HEAD", `/v2/a/b/blobs/${layer.digest}`)).headers.get("content-length")).toBe("5");
  expect(await (await shop.call("GET", "/v2/a/b/tags/list")).json()).toEqual({ name: "a/b", tags: ["1.0"] });
  expect(await (await shop.call("GET", "/v2/_catalog")).json()).toEqual({ repositories: ["a/b"] });
  expect(shop.registry.has("a/b")).toBe(false);
});

test("the socket is its owner's alone", async () => {
  await using shop = await open();
  expect((await stat(shop.registry.unix)).mode & 0o777).toBe(0o600);
});

test("ranges of a blob", async () => {
  await using shop = await open();
  const { digest } = await pushBlob(shop, "x", "0123456789");
  const get = (range: string): Promise<Response> => shop.call("GET", `/v2/x/blobs/${digest}`, { headers: { range } });
  const part = await get("bytes=3-5");
  expect([part.status, part.headers.get("content-range"), await part.text()]).toEqual([206, "bytes 3-5/10", "345"]);
  expect(await (await get("bytes=7-")).text()).toBe("789");
  expect(await (await get("bytes=-2")).text()).toBe("89");
  expect((await get("bytes=10-")).status).toBe(416);
});

test("an upload in pieces, out of order and with a wrong digest", async () => {
  await using shop = await open();
  const begun = await shop.call("POST", "/v2/x/blobs/uploads/");
  expect(begun.status).toBe(202);
  const location = begun.headers.get("location") ?? "";
  const patch = (body: string, range: string): Promise<Response> =>
    shop.call("PATCH", location, { body, headers: { "content-range": range } });
  expect((await patch("hello ", "0-5")).headers.get("range")).toBe("0-5");
  const skipped = await patch("world", "9-13");
  expect([skipped.status, skipped.headers.get("range")]).toEqual([416, "0-5"]);
  expect((await shop.call("GET", location)).headers.get("range")).toBe("0-5");
  expect((await patch("world", "6-10")).status).toBe(202);
  const wrong = await shop.call("PUT", `${location}?digest=${digestOf("other")}`);
  expect([wrong.status, await codeOf(wrong)]).toEqual([400, "DIGEST_INVALID"]);
  expect(await codeOf(await shop.call("GET", location))).toBe("BLOB_UPLOAD_UNKNOWN");
  expect(shop.state.all("SELECT * FROM registry_links")).toEqual([]);
  expect(shop.content.usage().partial).toBe(0);
});

test("an upload goes on after a restart of the daemon, and can be cancelled", async () => {
  const root = await mkdtemp(join(tmpdir(), "lighter-registry-"));
  let location = "";
  {
    await using shop = await open(undefined, root);
    location = (await shop.call("POST", "/v2/x/blobs/uploads/")).headers.get("location") ?? "";
    await shop.call("PATCH", location, { body: "hello " });
  }
  {
    await using shop = await open(undefined, root);
    expect((await shop.call("PUT", `${location}?digest=${digestOf("hello world")}`, { body: "world" })).status).toBe(201);
    const other = (await shop.call("POST", "/v2/x/blobs/uploads/")).headers.get("location") ?? "";
    expect((await shop.call("DELETE", other)).status).toBe(204);
    expect((await shop.call("DELETE", other)).status).toBe(404);
  }
  await rm(root, { recursive: true });
});

test("mounts", async () => {
  await using shop = await open();
  const { digest } = await pushBlob(shop, "x", "layer");
  const mounted = await shop.call("POST", `/v2/y/blobs/uploads/?mount=${digest}&from=x`);
  expect([mounted.status, mounted.headers.get("docker-content-digest")]).toEqual([201, digest]);
  expect((await shop.call("HEAD", `/v2/y/blobs/${digest}`)).status).toBe(200);
  expect((await shop.call("POST", `/v2/y/blobs/uploads/?mount=${digestOf("no")}&from=x`)).status).toBe(202);
});

test("bad pushes are refused by their codes", async () => {
  await using shop = await open();
  const put = (name: string, body: string, type: string = MEDIA.ociManifest): Promise<Response> =>
    shop.call("PUT", `/v2/x/manifests/${name}`, { body, headers: { "content-type": type } });
  const missing = JSON.stringify({ schemaVersion: 2, config: { digest: digestOf("no"), size: 2, mediaType: "x" }, layers: [] });
  expect(await codeOf(await put("1", missing))).toBe("MANIFEST_BLOB_UNKNOWN");
  expect(await codeOf(await put("1", "garbage"))).toBe("MANIFEST_INVALID");
  expect(await codeOf(await put("1", "{}", "text/plain"))).toBe("MANIFEST_INVALID");
  for (const body of [
    "null",
    "[]",
    '{"schemaVersion":2}',
    '{"schemaVersion":2,"config":null,"layers":{}}',
    '{"schemaVersion":2,"config":{"digest":"x"}}',
  ]) {
    expect(await codeOf(await put("1", body))).toBe("MANIFEST_INVALID");
  }
  expect(await codeOf(await put("-bad", missing))).toBe("MANIFEST_INVALID");
  expect(await codeOf(await put(digestOf("other"), missing))).toBe("DIGEST_INVALID");
  expect(await codeOf(await shop.call("GET", "/v2/x/manifests/1"))).toBe("NAME_UNKNOWN");
  expect(await codeOf(await shop.call("GET", `/v2/x/blobs/${digestOf("no")}`))).toBe("BLOB_UNKNOWN");
  expect(await codeOf(await shop.call("GET", "/v2/Bad/manifests/1"))).toBe("NAME_INVALID");
  expect(await codeOf(await shop.call("PATCH", "/v2/x/blobs/uploads/../../etc"))).toBe("NAME_INVALID");
  expect((await shop.call("POST", "/v2/x/manifests/1")).status).toBe(405);
});

test("deletes: a tag, then the manifest; what nothing shows any more is collected, blobs without a manifest stay for a day", async () => {
  await using shop = await open();
  const config = await pushBlob(shop, "x", "{}");
  const manifest = JSON.stringify({ schemaVersion: 2, config, layers: [] });
  await shop.call("PUT", "/v2/x/manifests/1", { body: manifest, headers: { "content-type": MEDIA.ociManifest } });
  expect((await shop.content.collect({ dryRun: true })).blobs).toEqual([]);
  expect((await shop.call("DELETE", "/v2/x/manifests/1")).status).toBe(202);
  expect((await shop.call("DELETE", "/v2/x/manifests/1")).status).toBe(404);
  expect((await shop.call("DELETE", `/v2/x/manifests/${digestOf(manifest)}`)).status).toBe(202);
  expect((await shop.content.collect()).blobs).toEqual([digestOf(manifest)]);
  shop.state.write((tx) => void tx.run("UPDATE registry_links SET created = 0"), { durable: false });
  expect((await shop.content.collect()).blobs).toEqual([digestOf("{}")]);
  expect((await shop.call("GET", `/v2/x/blobs/${digestOf("{}")}`)).status).toBe(404);
});

test("pages of tags", async () => {
  await using shop = await open();
  const config = await pushBlob(shop, "x", "{}");
  const body = JSON.stringify({ schemaVersion: 2, config, layers: [] });
  for (const tag of ["a", "b", "c"])
    await shop.call("PUT", `/v2/x/manifests/${tag}`, { body, headers: { "content-type": MEDIA.ociManifest } });
  const first = await shop.call("GET", "/v2/x/tags/list?n=2");
  expect(await first.json()).toEqual({ name: "x", tags: ["a", "b"] });
  expect(first.headers.get("link")).toBe('</v2/x/tags/list?n=2&last=b>; rel="next"');
  const second = await shop.call("GET", "/v2/x/tags/list?n=2&last=b");
  expect(await second.json()).toEqual({ name: "x", tags: ["c"] });
  expect(second.headers.get("link")).toBeNull();
});

test("the shipped images are there from the start, once", async () => {
  await using shop = await open(shippedImages);
  const [image] = await shippedImages();
  expect(shop.registry.has("library/hello-world")).toBe(true);
  const index = await shop.call("GET", "/v2/library/hello-world/manifests/latest");
  expect(index.headers.get("docker-content-digest")).toBe(image?.index ?? "none");
  const platforms = ((await index.json()) as { manifests: { digest: string; platform: { architecture: string } }[] }).manifests;
  expect(platforms.map((each) => each.platform.architecture).toSorted()).toEqual(["amd64", "arm64"]);
  for (const { digest } of platforms) expect((await shop.call("HEAD", `/v2/library/hello-world/manifests/${digest}`)).status).toBe(200);
  await shop.content.collect();
  expect(shop.content.blob(image?.index ?? ("sha256:none" as const))).toBeDefined();
});
