import { afterEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { now } from "../base/clock.ts";
import { openContent } from "../content/open.ts";
import { insertBlob, insertEdges } from "../content/rows.ts";
import { digestOf } from "../oci/digest.ts";
import { type Digest, MEDIA } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { openStorage } from "./open-storage.ts";
import { openRegistry } from "./open.ts";
import { expiredTags, type TagTimes } from "./retention.ts";
import type { GcReport } from "./gc.ts";
import { putLink, putTag, REGISTRY_ROOTS } from "./rows.ts";
import { parseSettings } from "./settings.ts";

const HOUR = 3_600_000_000_000n;
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function open(settings: object) {
  const folder = await mkdtemp(join(tmpdir(), "lighter-gc-"));
  const state = new State(join(folder, "state.db"));
  const content = await openContent({ dataRoot: folder, state, roots: [REGISTRY_ROOTS] });
  const shipped = (): Promise<[]> => Promise.resolve([]);
  const socket = join(folder, "registry.sock");
  const registry = await openRegistry({ state, content, socket, shipped, settings: parseSettings(settings) });
  closers.push(async () => {
    await registry[Symbol.asyncDispose]();
    state.close();
    await rm(folder, { recursive: true, force: true });
  });
  const call = (method: string, path: string, options: { body?: string; headers?: Record<string, string> } = {}): Promise<Response> =>
    fetch(`http://registry${path}`, { method, unix: registry.unix, ...options });
  const age = (hours: number): void =>
    state.write(
      (tx) => {
        tx.run("UPDATE registry_links SET created = created - ?, seen = 0, pulled = 0", BigInt(hours) * HOUR);
        tx.run("UPDATE registry_tags SET updated = updated - ?, pulled = 0", BigInt(hours) * HOUR);
      },
      { durable: false },
    );
  return { state, content, registry, call, age };
}

type Shop = Awaited<ReturnType<typeof open>>;

async function pushBlob({ call }: Shop, repository: string, body: string): Promise<{ digest: string; size: number; mediaType: string }> {
  const digest = digestOf(body);
  expect((await call("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body })).status).toBe(201);
  return { digest, size: body.length, mediaType: MEDIA.ociLayer };
}

async function push(shop: Shop, repository: string, reference: string | undefined, more: object = {}): Promise<string> {
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    config: await pushBlob(shop, repository, "{}"),
    layers: [await pushBlob(shop, repository, `layer of ${repository} ${reference} ${JSON.stringify(more)}`)],
    ...more,
  });
  const headers = { "content-type": MEDIA.ociManifest };
  expect((await shop.call("PUT", `/v2/${repository}/manifests/${reference ?? digestOf(body)}`, { body, headers })).status).toBe(201);
  return digestOf(body);
}

function tags({ state }: Shop): string[] {
  return state.all<{ name: string }>("SELECT repository || ':' || tag AS name FROM registry_tags ORDER BY 1").map(({ name }) => name);
}

test("rules: the newest, the young, the pulled and the protected stay", () => {
  const time = now();
  const tag = (name: string, updated: bigint, pulled = 0n): TagTimes => ({
    repository: "team/app",
    tag: name,
    updated: time - updated * HOUR,
    pulled: pulled === 0n ? 0n : time - pulled * HOUR,
  });
  const all = [tag("1", 500n), tag("2", 400n), tag("3", 300n, 1n), tag("4", 200n), tag("5", 1n), tag("v1", 900n), tag("latest", 900n)];
  const expired = (rule: object, ...others: object[]): string[] =>
    expiredTags(all, parseSettings({ retention: [rule, ...others] }).retention, time).map((each) => each.tag);
  expect(expired({ "keep-newest": 2, protect: ["v*", "latest"] })).toEqual(["3", "2", "1"]);
  expect(expired({ "keep-newest": 2, "keep-pulled": "2h", protect: ["v*", "latest"] })).toEqual(["2", "1"]);
  expect(expired({ "keep-younger": "250h", tags: ["?"] })).toEqual(["3", "2", "1"]);
  expect(expired({ repositories: ["team/*"], tags: ["v*"], "keep-newest": 9 }, { "keep-newest": 0, "keep-younger": "1000h" })).toEqual([]);
  expect(expired({ repositories: ["other/*"], "keep-newest": 0 })).toEqual([]);
  expect(expired({ repositories: ["*"], "keep-newest": 0 })).toEqual([]);
  expect(() => parseSettings({ retention: [{ repositories: ["**"] }] })).toThrow("would remove every tag");
  expect(() => parseSettings({ retention: [{ "keep-newset": 1 }] })).toThrow('unknown key "registry.retention[0].keep-newset"');
});

test("a dry run says what a run then does", async () => {
  const shop = await open({ retention: [{ repositories: ["app"], "keep-newest": 1 }], gc: { untagged: "1h" } });
  const old = await push(shop, "app", "1");
  shop.age(30);
  await push(shop, "app", "2");
  await push(shop, "other", "1");
  shop.age(30);
  const gc = async (dry: boolean): Promise<object> =>
    (await shop.call("POST", `/_lighter/gc?dryRun=${dry ? 1 : 0}`)).json() as Promise<object>;
  const dry = await gc(true);
  expect(dry).toMatchObject({
    dryRun: true,
    tags: [{ repository: "app", tag: "1" }],
    manifests: [{ repository: "app", digest: old }],
    blobs: 2,
  });
  expect(tags(shop)).toEqual(["app:1", "app:2", "other:1"]);
  expect(await gc(false)).toEqual({ ...dry, dryRun: false });
  expect(tags(shop)).toEqual(["app:2", "other:1"]);
  expect(await gc(false)).toMatchObject({ tags: [], manifests: [], blobs: 0, bytes: 0 });
});

test("a dry run of a large store, in a thread of its own, says the same as a run in steps", async () => {
  const shop = await open({ retention: [{ repositories: ["bulk"], tags: ["old*"], "keep-younger": "1h" }], gc: { untagged: "1h" } });
  // Manifests with a tag that stays, one that goes, or none; of the last every other one below an index.
  const rows = 1200;
  const kinds = ["new", "old", undefined] as const;
  const digests = Array.from({ length: rows }, (_, at) => ({ manifest: digestOf(`m${at}`), layer: digestOf(`l${at}`) }));
  const index = digestOf("index");
  shop.state.write(
    (tx) => {
      const blob = (digest: Digest): void => insertBlob(tx, { digest, size: 10, mediaType: "x" });
      blob(index);
      for (const [at, { manifest, layer }] of digests.entries()) {
        const kind = kinds[at % 3];
        blob(manifest);
        blob(layer);
        insertEdges(tx, manifest, [layer]);
        putLink(tx, { repository: "bulk", digest: manifest, kind: "manifest", media_type: "x" });
        putLink(tx, { repository: "bulk", digest: layer, kind: "blob", media_type: "x" });
        if (kind !== undefined) putTag(tx, "bulk", `${kind}${at}`, manifest);
        else if (at % 2 === 0) insertEdges(tx, index, [manifest]);
      }
      putLink(tx, { repository: "bulk", digest: index, kind: "manifest", media_type: "x" });
    },
    { durable: false },
  );
  shop.age(30);
  const dry = await shop.registry.collect({ dryRun: true });
  expect(dry).toMatchObject({ tags: { length: rows / 3 }, manifests: { length: (rows / 3) * 2 + 1 }, blobs: (rows / 3) * 4 + 1 });
  const byName = ({ tags, manifests, ...report }: GcReport): object => {
    const names = [...tags.map(({ tag }) => tag), ...manifests.map(({ digest }) => digest)].toSorted();
    return { ...report, names };
  };
  expect(byName(await shop.registry.collect())).toEqual({ ...byName(dry), dryRun: false });
  expect(shop.state.all("SELECT 1 FROM blobs")).toHaveLength((rows / 3) * 2);
  expect(shop.state.all("SELECT 1 FROM registry_links")).toHaveLength((rows / 3) * 2);
  expect(await shop.registry.collect({ dryRun: true })).toMatchObject({ tags: [], manifests: [], blobs: 0, bytes: 0 });
});

test("manifests without a tag: those of an index and referrers of what is kept stay", async () => {
  const shop = await open({ gc: { untagged: "1h" } });
  const child = await push(shop, "app", undefined);
  const loose = await push(shop, "app", undefined, { annotations: { is: "loose" } });
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA.ociIndex,
    manifests: [{ digest: child, size: 1, mediaType: MEDIA.ociManifest }],
  });
  expect((await shop.call("PUT", "/v2/app/manifests/1", { body: index, headers: { "content-type": MEDIA.ociIndex } })).status).toBe(201);
  const subject = { digest: digestOf(index), size: index.length, mediaType: MEDIA.ociIndex };
  const signature = await push(shop, "app", undefined, { subject });
  expect((await shop.registry.collect()).manifests).toEqual([]);
  shop.age(30);
  expect((await shop.registry.collect()).manifests).toEqual([{ repository: "app", digest: loose }]);
  for (const digest of [child, signature]) expect((await shop.call("HEAD", `/v2/app/manifests/${digest}`)).status).toBe(200);
  expect((await shop.call("DELETE", "/v2/app/manifests/1")).status).toBe(202);
  shop.age(30);
  const gone = (await shop.registry.collect()).manifests.map(({ digest }) => digest).toSorted();
  expect(gone).toEqual([digestOf(index), child, signature].toSorted());
  expect(shop.state.all("SELECT * FROM blobs")).toEqual([]);
  expect(shop.state.all("SELECT * FROM registry_links")).toEqual([]);
});

test("what somebody was told is here stays for the grace time", async () => {
  const shop = await open({});
  const { digest } = await pushBlob(shop, "app", "asked after");
  const { digest: other } = await pushBlob(shop, "app", "not asked after");
  shop.age(30);
  expect((await shop.call("HEAD", `/v2/app/blobs/${digest}`)).status).toBe(200);
  await shop.registry.collect();
  expect((await shop.call("HEAD", `/v2/app/blobs/${digest}`)).status).toBe(200);
  expect((await shop.call("HEAD", `/v2/app/blobs/${other}`)).status).toBe(404);
});

test("collections by themselves, and blobs that stay where they are", async () => {
  const shop = await open({ gc: { interval: "50ms", grace: "0s" } });
  const { digest } = await pushBlob(shop, "app", "needed by nothing");
  const deadline = Date.now() + 20_000;
  while (shop.content.blob(digest as ReturnType<typeof digestOf>) !== undefined && Date.now() < deadline) await Bun.sleep(20);
  expect((await shop.call("HEAD", `/v2/app/blobs/${digest}`)).status).toBe(404);
  const other = await open({});
  await push(other, "app", "1");
  const s3 = parseSettings({ storage: { s3: { bucket: "b", prefix: "p" } } }).s3;
  await expect(openStorage({ state: other.state, content: other.content, s3 })).rejects.toThrow(
    "Cannot keep blobs on bucket b/p: those of this registry are on the disk",
  );
}, 60_000);

test("receivers hear of everything, in order, again until they take it", async () => {
  const got: { action: string; target: { repository: string; tag?: string; digest?: string; url?: string; size?: number } }[] = [];
  let refuse = 2;
  const receiver = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      expect(request.headers.get("content-type")).toBe("application/vnd.docker.distribution.events.v1+json");
      const { events } = (await request.json()) as { events: typeof got };
      if (refuse-- > 0) return new Response(null, { status: 500 });
      got.push(...events);
      return new Response();
    },
  });
  closers.push(() => receiver.stop(true));
  const shop = await open({ webhooks: [{ name: "ci", url: `http://127.0.0.1:${receiver.port}/hook` }] });
  const digest = await push(shop, "app", "1");
  await (await shop.call("GET", "/v2/app/manifests/1")).bytes();
  await shop.call("DELETE", "/v2/app/manifests/1");
  const deadline = Date.now() + 20_000;
  while (got.length < 5 && Date.now() < deadline) await Bun.sleep(20);
  expect(got.map(({ action, target }) => [action, target.tag])).toEqual([
    ["push", undefined],
    ["push", undefined],
    ["push", "1"],
    ["pull", "1"],
    ["delete", "1"],
  ]);
  expect(got[2]?.target).toMatchObject({ repository: "app", digest });
  expect(got[2]?.target.url).toEndWith(`/v2/app/manifests/${digest}`);
  // The rows go right after the answer.
  while (shop.state.all("SELECT 1 FROM registry_notices").length > 0 && Date.now() < deadline) await Bun.sleep(20);
  expect(shop.state.all("SELECT 1 FROM registry_notices")).toEqual([]);
}, 60_000);

test("uploads and downloads that nobody went on with are given up; partial pulls of the engine are not the registry's", async () => {
  const { content, state } = await open({});
  const storage = await openStorage({ state, content });
  for (const ref of ["upload:app:1", `cache-${digestOf("x")}`, digestOf("y")]) {
    const ingest = await content.ingest(ref);
    await ingest.write(Buffer.from("part"));
    await ingest.suspend();
  }
  await storage.sweepUploads(60_000);
  expect(state.all("SELECT ref FROM ingests")).toHaveLength(3);
  await storage.sweepUploads(-1000);
  expect(state.all<{ ref: string }>("SELECT ref FROM ingests")).toEqual([{ ref: digestOf("y") }]);
});

test("metrics tell of requests, bytes and what is kept", async () => {
  const shop = await open({ metrics: { path: "/metrics" } });
  await push(shop, "app", "1");
  const bytes = async (path: string): Promise<number> => (await (await shop.call("GET", path)).bytes()).length;
  expect(await bytes("/v2/app/manifests/1")).toBeGreaterThan(0);
  const sent = await bytes(`/v2/app/blobs/${digestOf("{}")}`);
  const text = await (await shop.call("GET", "/metrics")).text();
  expect(text).toContain('lighter_registry_requests_total{route="manifest",method="GET",status="200"} 1');
  expect(text).toContain('lighter_registry_request_duration_seconds_count{route="manifest",method="PUT"} 1');
  expect(text).toContain("lighter_registry_tags 1");
  expect(text).toContain(`lighter_registry_sent_bytes_total{route="blob"} ${sent}`);
  expect(text).toContain('lighter_registry_storage_bytes{kind="blobs"}');
});
