import { afterEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openContent } from "../content/open.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { DEFAULT_REGISTRY } from "./config.ts";
import { openRegistry } from "./open.ts";
import type { Registry } from "./registry.ts";
import { REGISTRY_ROOTS } from "./rows.ts";
import { parseSettings } from "./settings.ts";

interface Shop {
  state: State;
  registry: Registry;
  call(
    method: string,
    path: string,
    options?: { body?: string | Uint8Array<ArrayBuffer>; headers?: Record<string, string> },
  ): Promise<Response>;
}

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** @param rights lines of a rights file: then it listens on a loopback port, too, and lets in by them. */
async function open(settings: object, rights?: string): Promise<Shop> {
  const folder = await mkdtemp(join(tmpdir(), "lighter-cache-"));
  const state = new State(join(folder, "state.db"));
  const content = await openContent({ dataRoot: folder, state, roots: [REGISTRY_ROOTS] });
  const shipped = (): Promise<[]> => Promise.resolve([]);
  const socket = join(folder, "registry.sock");
  const [htpasswd, file] = [join(folder, "users"), join(folder, "rights")];
  await Bun.write(htpasswd, "");
  await Bun.write(file, rights ?? "");
  const config = { ...DEFAULT_REGISTRY, addresses: ["127.0.0.1:0"], auth: { htpasswd, rights: file } };
  const network = rights === undefined ? undefined : { config, folder };
  const registry = await openRegistry({ state, content, socket, shipped, settings: parseSettings(settings), network });
  closers.push(async () => {
    await registry[Symbol.asyncDispose]();
    state.close();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    state,
    registry,
    call: (method, path, options = {}) => fetch(`http://registry${path}`, { method, unix: registry.unix, ...options }),
  };
}

/** A registry before which a relay counts requests and may answer in its place. */
async function openUpstream() {
  const shop = await open({});
  const seen: string[] = [];
  const upstream = { ...shop, seen, url: "", instead: undefined as ((request: Request) => Response | undefined) | undefined };
  const relay = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      if (pathname !== "/v2/") seen.push(`${request.method} ${pathname}`);
      const headers = Object.fromEntries(request.headers);
      return upstream.instead?.(request) ?? (await shop.call(request.method, pathname + search, { headers }));
    },
  });
  upstream.url = `http://127.0.0.1:${relay.port}`;
  closers.push(() => relay.stop(true));
  return upstream;
}

async function push(
  shop: Shop,
  repository: string,
  tag: string,
  layer: string | Uint8Array<ArrayBuffer>,
): Promise<{ manifest: string; layer: string }> {
  const blob = async (body: string | Uint8Array<ArrayBuffer>): Promise<{ digest: string; size: number; mediaType: string }> => {
    const digest = digestOf(body);
    expect((await shop.call("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body })).status).toBe(201);
    return { digest, size: body.length, mediaType: MEDIA.ociLayer };
  };
  const parts = { config: await blob(`{"for":"${tag}"}`), layers: [await blob(layer)] };
  const body = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, ...parts });
  const headers = { "content-type": MEDIA.ociManifest };
  expect((await shop.call("PUT", `/v2/${repository}/manifests/${tag}`, { body, headers })).status).toBe(201);
  return { manifest: digestOf(body), layer: parts.layers[0]?.digest ?? "" };
}

const proxies = (url: string, more: object = {}): object => ({ proxies: [{ prefix: "docker.io", url, ...more }] });

test("many clients share one fetch of a manifest and of a blob, and get it while it arrives", async () => {
  const upstream = await openUpstream();
  const bytes = new Uint8Array(3 << 20).map((_, at) => at % 251);
  const image = await push(upstream, "library/app", "1", bytes);
  const cache = await open(proxies(upstream.url));
  const gate = Promise.withResolvers<void>();
  let begun = false;
  upstream.instead = ({ url }) => {
    if (!url.includes(image.layer)) return undefined;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (!begun) controller.enqueue(bytes.slice(0, 1 << 20));
        else {
          await gate.promise;
          controller.enqueue(bytes.slice(1 << 20));
          controller.close();
        }
        begun = true;
      },
    });
    return new Response(body, { headers: { "content-length": String(bytes.length) } });
  };
  const manifests = await Promise.all(Array.from({ length: 40 }, () => cache.call("GET", "/v2/docker.io/library/app/manifests/1")));
  for (const each of manifests) expect(each.headers.get("docker-content-digest")).toBe(image.manifest);
  const blobs = await Promise.all(Array.from({ length: 40 }, () => cache.call("GET", `/v2/docker.io/library/app/blobs/${image.layer}`)));
  // Its first bytes are here, and the upstream has not sent the last ones.
  const readers = blobs.map((each) => each.body?.getReader());
  for (const reader of readers) expect((await reader?.read())?.value?.length).toBeGreaterThan(0);
  for (const reader of readers.slice(0, 10)) await reader?.cancel();
  gate.resolve();
  for (const reader of readers.slice(10)) {
    let size = 0;
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) size += part.value.length;
    expect(size).toBeGreaterThan(1 << 20);
  }
  const whole = await (await cache.call("GET", `/v2/docker.io/library/app/blobs/${image.layer}`)).bytes();
  expect(digestOf(whole)).toBe(digestOf(bytes));
  const part = await cache.call("GET", `/v2/docker.io/library/app/blobs/${image.layer}`, { headers: { range: "bytes=1048576-1048579" } });
  expect([part.status, (await part.bytes()).length]).toEqual([206, 4]);
  expect(upstream.seen.filter((line) => line.includes("manifests"))).toEqual(["GET /v2/library/app/manifests/1"]);
  expect(upstream.seen.filter((line) => line.includes(image.layer))).toEqual([`GET /v2/library/app/blobs/${image.layer}`]);
});

test('Warnings, as the specification has them: code 299, agent "-", no date, few bytes; on manifests, tags and referrers that may be stale', async () => {
  const upstream = await openUpstream();
  const { manifest } = await push(upstream, "library/app", "1", "one");
  const cache = await open(proxies(upstream.url, { ttl: "0" }));
  const paths = ["manifests/1", "tags/list", `referrers/${manifest}`];
  const get = (path: string): Promise<Response> => cache.call("GET", `/v2/docker.io/library/app/${path}`);
  for (const path of paths) expect((await get(path)).headers.get("warning")).toBeNull();
  upstream.instead = () => new Response(null, { status: 503 });
  for (const path of paths) {
    const warning = (await get(path)).headers.get("warning") ?? "";
    expect([path, warning.replace(/^299 - "[^"]*"$/, "well formed")]).toEqual([path, "well formed"]);
    expect(warning.length).toBeLessThan(4096);
  }
});

test("a tag is compared with its upstream after its time, and served stale when that is away or has had enough", async () => {
  const upstream = await openUpstream();
  const first = await push(upstream, "library/app", "1", "one");
  const cache = await open(proxies(upstream.url, { ttl: "0" }));
  const digest = async (): Promise<[string | null, string | null]> => {
    const answer = await cache.call("GET", "/v2/docker.io/library/app/manifests/1");
    await answer.bytes();
    return [answer.headers.get("docker-content-digest"), answer.headers.get("warning")];
  };
  expect(await digest()).toEqual([first.manifest, null]);
  expect(await digest()).toEqual([first.manifest, null]);
  expect(upstream.seen.filter((line) => line.includes("manifests"))).toEqual([
    "GET /v2/library/app/manifests/1",
    "HEAD /v2/library/app/manifests/1",
  ]);
  const second = await push(upstream, "library/app", "1", "two");
  expect(await digest()).toEqual([second.manifest, null]);
  upstream.instead = () => new Response(JSON.stringify({ errors: [{ code: "TOOMANYREQUESTS", message: "enough" }] }), { status: 429 });
  expect(await digest()).toEqual([second.manifest, '299 - "the upstream does not answer: this may be stale"']);
  const asked = upstream.seen.length;
  expect(await digest()).toEqual([second.manifest, '299 - "the upstream does not answer: this may be stale"']);
  expect(upstream.seen.length).toBe(asked);
  const other = await cache.call("GET", "/v2/docker.io/library/app/manifests/other");
  expect([other.status, ((await other.json()) as { errors: { code: string }[] }).errors[0]?.code]).toEqual([429, "TOOMANYREQUESTS"]);
  const tags = await cache.call("GET", "/v2/docker.io/library/app/tags/list");
  expect(await tags.json()).toEqual({ name: "docker.io/library/app", tags: ["1"] });
}, 60_000);

test("what the upstream no longer has is gone; a fresh tag is not asked after", async () => {
  const upstream = await openUpstream();
  await push(upstream, "library/app", "1", "one");
  const fresh = await open(proxies(upstream.url));
  const eager = await open(proxies(upstream.url, { ttl: "0" }));
  for (const cache of [fresh, eager]) expect((await cache.call("GET", "/v2/docker.io/library/app/manifests/1")).status).toBe(200);
  await upstream.call("DELETE", "/v2/library/app/manifests/1");
  expect((await fresh.call("GET", "/v2/docker.io/library/app/manifests/1")).status).toBe(200);
  expect((await eager.call("GET", "/v2/docker.io/library/app/manifests/1")).status).toBe(404);
  expect((await eager.call("GET", "/v2/docker.io/library/none/manifests/1")).status).toBe(404);
});

test("names: a mirror of docker.io, containerd's ns, pushes beside it", async () => {
  const upstream = await openUpstream();
  const image = await push(upstream, "library/app", "1", "one");
  const cache = await open(proxies(upstream.url));
  for (const path of ["/v2/library/app/manifests/1", "/v2/app/manifests/1?ns=docker.io", "/v2/docker.io/app/manifests/1"])
    expect((await cache.call("HEAD", path)).headers.get("docker-content-digest")).toBe(image.manifest);
  // The specification's section "Registry Proxying".
  const namespace = async (path: string): Promise<string | null> => (await cache.call("HEAD", path)).headers.get("oci-namespace");
  expect([await namespace("/v2/app/manifests/1?ns=docker.io"), await namespace("/v2/app/manifests/1")]).toEqual(["docker.io", null]);
  expect((await (await cache.call("GET", "/v2/_catalog")).json()) as object).toEqual({ repositories: ["docker.io/library/app"] });
  const own = await push(cache, "team/own", "1", "ours");
  expect((await cache.call("HEAD", "/v2/team/own/manifests/1")).headers.get("docker-content-digest")).toBe(own.manifest);
  expect((await cache.call("GET", "/v2/team/own/manifests/none")).status).toBe(404);
  expect(upstream.seen.some((line) => line.includes("team/own/manifests/1"))).toBe(false);
  expect((await cache.call("POST", "/v2/docker.io/library/app/blobs/uploads/")).status).toBe(405);
  expect((await cache.call("GET", "/v2/quay.io/app/manifests/1?ns=quay.io")).status).toBe(404);
});

test("without a prefix a name is its upstream's from the first pull on: pushes to it are refused, those to other names stay", async () => {
  const upstream = await openUpstream();
  const image = await push(upstream, "team/app", "1", "one");
  const cache = await open({ proxies: [{ prefix: "", url: upstream.url, ttl: "0" }] });
  expect((await cache.call("GET", "/v2/team/app/manifests/1")).headers.get("docker-content-digest")).toBe(image.manifest);
  const refused = [
    await cache.call("POST", "/v2/team/app/blobs/uploads/"),
    await cache.call("PUT", "/v2/team/app/manifests/mine", { body: "{}", headers: { "content-type": MEDIA.ociManifest } }),
    await cache.call("PATCH", `/v2/team/app/blobs/uploads/${crypto.randomUUID()}`, { body: "x" }),
  ];
  expect(refused.map(({ status }) => status)).toEqual([405, 405, 405]);
  expect(await refused[0]?.text()).toContain(`team/app is a copy of ${upstream.url}: push to another name`);
  const own = await push(cache, "team/own", "1", "ours");
  await push(upstream, "team/own", "1", "theirs");
  expect((await cache.call("GET", "/v2/team/own/manifests/1")).headers.get("docker-content-digest")).toBe(own.manifest);
});

test("the next page of an upstream's tags is asked for by the same name", async () => {
  const upstream = await openUpstream();
  for (const tag of ["1", "2", "3"]) await push(upstream, "library/app", tag, tag);
  const cache = await open(proxies(upstream.url));
  const first = await cache.call("GET", "/v2/app/tags/list?ns=docker.io&n=2");
  expect(((await first.json()) as { tags: string[] }).tags).toEqual(["1", "2"]);
  const next = /^<([^>]+)>; rel="next"$/.exec(first.headers.get("link") ?? "")?.[1] ?? "";
  expect(next).toBe("/v2/app/tags/list?ns=docker.io&n=2&last=2");
  expect(((await (await cache.call("GET", next)).json()) as { tags: string[] }).tags).toEqual(["3"]);
});

test("a broken connection is gone on with, wrong bytes are never whole and never kept", async () => {
  const upstream = await openUpstream();
  const bytes = new Uint8Array(2 << 20).map((_, at) => at % 241);
  const image = await push(upstream, "library/app", "1", bytes);
  const cache = await open(proxies(upstream.url));
  const ranges: (string | null)[] = [];
  upstream.instead = (request) => {
    if (!request.url.includes(image.layer)) return undefined;
    ranges.push(request.headers.get("range"));
    if (ranges.length > 1) return undefined;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        controller.enqueue(bytes.slice(0, 1 << 20));
        await Bun.sleep(50);
        controller.error(new Error("cut"));
      },
    });
    return new Response(body, { headers: { "content-length": String(bytes.length) } });
  };
  const got = await (await cache.call("GET", `/v2/docker.io/library/app/blobs/${image.layer}`)).bytes();
  expect(digestOf(got)).toBe(image.layer as ReturnType<typeof digestOf>);
  expect(ranges[0]).toBeNull();

  const other = await push(upstream, "library/app", "2", "a layer that is sent wrongly");
  upstream.instead = ({ url }) => (url.includes(other.layer) ? new Response("a layer that was sent wrongly") : undefined);
  const path = `/v2/docker.io/library/app/blobs/${other.layer}`;
  const wrong = await cache.call("GET", path).then(
    (answer) =>
      answer.bytes().then(
        (all) => all.length,
        () => -1,
      ),
    () => -1,
  );
  expect(wrong).toBeLessThan("a layer that was sent wrongly".length);
  upstream.instead = undefined;
  expect(await (await cache.call("GET", path)).text()).toBe("a layer that is sent wrongly");
}, 60_000);

const liar = (digest: unknown): string =>
  JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config: { mediaType: "x", digest, size: 1 }, layers: [] });
test.each([
  ["a digest that climbs", liar("sha256:../../../../etc/passwd"), "one of its descriptors is wrong or missing"],
  ["a digest that is none", liar(7), "one of its descriptors is wrong or missing"],
  ["another version", '{"schemaVersion":3}', "unsupported manifest"],
  ["no document", "<html>", "not a JSON object"],
])("an upstream's rubbish is told as a bad gateway, and not kept: %s", async (_, body, words) => {
  const upstream = await openUpstream();
  const cache = await open(proxies(upstream.url));
  upstream.instead = ({ url }) =>
    url.includes("/manifests/") ? new Response(body, { headers: { "content-type": MEDIA.ociManifest } }) : undefined;
  const answer = await cache.call("GET", "/v2/docker.io/library/app/manifests/1");
  expect([answer.status, await answer.text()]).toEqual([502, expect.stringContaining(words)]);
  expect(cache.state.all("SELECT * FROM registry_links")).toEqual([]);
  upstream.instead = ({ url }) =>
    url.includes("/manifests/") ? new Response(null, { status: 307, headers: { location: "/v2/x/manifests/1" } }) : undefined;
  const circle = await cache.call("GET", "/v2/docker.io/library/app/manifests/2");
  expect([circle.status, await circle.text()]).toEqual([502, expect.stringContaining("stopped after 10 redirects")]);
});

test("what was longest not pulled goes when the cache is full; our own stays", async () => {
  const upstream = await openUpstream();
  const cache = await open({ ...proxies(upstream.url), "cache-limit": 250_000 });
  await push(cache, "own", "1", new Uint8Array(200_000).fill(9));
  for (const tag of ["1", "2", "3", "4"]) {
    const { layer } = await push(upstream, "library/app", tag, new Uint8Array(100_000).fill(Number(tag)));
    await (await cache.call("GET", `/v2/docker.io/library/app/manifests/${tag}`)).bytes();
    await (await cache.call("GET", `/v2/docker.io/library/app/blobs/${layer}`)).bytes();
  }
  const deadline = Date.now() + 20_000;
  const kept = (): string[] =>
    cache.state
      .all<{ tag: string }>("SELECT tag FROM registry_tags WHERE repository LIKE 'docker.io/%' ORDER BY tag")
      .map(({ tag }) => tag);
  while (kept().length > 2 && Date.now() < deadline) await Bun.sleep(20);
  expect(kept()).toEqual(["3", "4"]);
  upstream.instead = () => new Response(null, { status: 503 });
  expect((await cache.call("HEAD", "/v2/own/manifests/1")).status).toBe(200);
  expect((await cache.call("GET", "/v2/docker.io/library/app/manifests/4")).status).toBe(200);
}, 40_000);

test("who knows a digest does not get it by a name whose upstream does not have it", async () => {
  const [secret, open_] = [await openUpstream(), await openUpstream()];
  const bytes = new Uint8Array(2 << 20).map((_, at) => at % 239);
  const image = await push(secret, "team/private", "1", bytes);
  await push(open_, "any/app", "1", "anything");
  const cache = await open({
    proxies: [
      { prefix: "secret", url: secret.url },
      { prefix: "open", url: open_.url },
    ],
  });
  const gate = Promise.withResolvers<void>();
  let parts = 0;
  secret.instead = ({ method, url }) => {
    if (method !== "GET" || !url.includes(image.layer)) return undefined;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (parts++ > 0) await gate.promise;
        controller.enqueue(parts === 1 ? bytes.slice(0, 1 << 20) : bytes.slice(1 << 20));
        if (parts === 2) controller.close();
      },
    });
    return new Response(body);
  };
  const running = await cache.call("GET", `/v2/secret/team/private/blobs/${image.layer}`);
  // While it arrives, and when it is here.
  expect((await cache.call("GET", `/v2/open/any/app/blobs/${image.layer}`)).status).toBe(404);
  gate.resolve();
  expect(digestOf(await running.bytes())).toBe(image.layer as ReturnType<typeof digestOf>);
  expect((await cache.call("GET", `/v2/open/any/app/blobs/${image.layer}`)).status).toBe(404);
  await push(open_, "any/app", "2", bytes);
  const shared = await cache.call("GET", `/v2/open/any/app/blobs/${image.layer}`);
  expect((await shared.bytes()).length).toBe(bytes.length);
  expect(open_.seen.filter((line) => line.startsWith("GET") && line.includes(image.layer))).toEqual([]);
});

test("rights hold for the name here, however it is asked for", async () => {
  const upstream = await openUpstream();
  await push(upstream, "open/app", "1", "one");
  const proxy = { proxies: [{ prefix: "secret", url: upstream.url }] };
  const cache = await open(proxy, "anonymous open/** pull");
  const status = async (path: string): Promise<number> => (await fetch(new URL(path, cache.registry.addresses[0]))).status;
  expect(await status("/v2/secret/open/app/manifests/1")).toBe(401);
  expect(await status("/v2/open/app/manifests/1?ns=secret")).toBe(401);
  expect(await status("/v2/open/app/tags/list?ns=secret")).toBe(401);
  expect(upstream.seen.filter((line) => line.startsWith("GET"))).toEqual([]);
  const allowed = await open(proxy, "anonymous ** pull");
  expect((await fetch(new URL("/v2/open/app/manifests/1?ns=secret", allowed.registry.addresses[0]))).status).toBe(200);
});

test("referrers come from the upstream, and are remembered", async () => {
  const upstream = await openUpstream();
  const image = await push(upstream, "library/app", "1", "one");
  const empty = { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf("{}"), size: 2 };
  await upstream.call("POST", `/v2/library/app/blobs/uploads/?digest=${empty.digest}`, { body: "{}" });
  const subject = { mediaType: MEDIA.ociManifest, digest: image.manifest, size: 1 };
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    artifactType: "x/signature",
    config: empty,
    layers: [empty],
    subject,
  });
  const headers = { "content-type": MEDIA.ociManifest };
  expect((await upstream.call("PUT", `/v2/library/app/manifests/${digestOf(body)}`, { body, headers })).status).toBe(201);
  const cache = await open(proxies(upstream.url));
  const referrers = async (): Promise<unknown[]> => {
    const answer = await cache.call("GET", `/v2/docker.io/library/app/referrers/${image.manifest}?artifactType=x/signature`);
    return ((await answer.json()) as { manifests: unknown[] }).manifests;
  };
  expect(await referrers()).toMatchObject([{ digest: digestOf(body), artifactType: "x/signature" }]);
  expect((await cache.call("GET", `/v2/docker.io/library/app/manifests/${digestOf(body)}`)).status).toBe(200);
  upstream.instead = () => new Response(null, { status: 503 });
  expect(await referrers()).toHaveLength(1);
}, 60_000);
