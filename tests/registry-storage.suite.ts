/** What lighter's registry keeps and how: a bucket, collections under load and under kill -9, other registries behind it, receivers of notices. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../src/oci/digest.ts";
import { MEDIA, type Digest, type Manifest } from "../src/oci/image.ts";
import { nodePackages } from "../tools/foreign.ts";
import { must } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";
import { count, randomOf, SEED } from "./harness/counts.ts";
import { LIGHTER } from "./harness/daemon.ts";
import { figure } from "./harness/figures.ts";
import { OwnRegistry } from "./harness/own-registry.ts";
import { freePort } from "./harness/ports.ts";
import { TestRegistry } from "./harness/registry.ts";
import { Relay } from "./harness/relay.ts";
import { SLOW, until } from "./harness/until.ts";

let folder: string;
/** OCI layout of an image with several layers. */
let layered: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lighter-registry-storage-"));
  layered = (await testImage("layered")).layout;
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

/** A registry with settings of its own. */
async function own(name: string, settings: object): Promise<OwnRegistry> {
  const place = join(folder, name);
  await mkdir(place, { recursive: true });
  await Bun.write(join(place, "settings.json"), JSON.stringify(settings));
  return new OwnRegistry(place, ["--config", join(place, "settings.json"), "--log-level", "error"]);
}

async function skopeo(...words: string[]): Promise<void> {
  await must(["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", ...words], { timeout: 60_000 * SLOW });
}

async function gc(registry: OwnRegistry, ...words: string[]): Promise<string> {
  return await must([LIGHTER, "registry", "gc", "--data", registry.data, ...words], { timeout: 60_000 * SLOW });
}

/** A store that speaks S3, from npm, with one bucket: its folder, and what a registry's settings say of it. */
async function startStore(bucket: string): Promise<AsyncDisposable & { folder: string; settings: object }> {
  const port = freePort();
  const { node, folder: packages } = await nodePackages();
  const place = join(folder, `store-${bucket}`);
  const child = Bun.spawn([node, join(import.meta.dir, "foreign/s3-server.mjs"), String(port), place, bucket], {
    env: { ...process.env, LIGHTER_PACKAGES: packages },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
  await until("the store answers", async () => (await fetch(`http://127.0.0.1:${port}/`)).status > 0, { timeout: 30_000 });
  const keys = { "access-key": "S3RVER", "secret-key": "S3RVER" };
  return {
    folder: place,
    settings: { bucket, prefix: "a/b", endpoint: `http://127.0.0.1:${port}`, region: "us-east-1", ...keys },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** Digests of the blobs in a bucket: the store keeps some files for each object. */
async function objectsOf(bucket: string): Promise<string[]> {
  const names = await readdir(bucket, { recursive: true });
  return [...new Set(names.flatMap((name) => /blobs\/sha256\/..\/([0-9a-f]{64})/.exec(name)?.[1] ?? []))].toSorted();
}

/** Pushes a blob that is not there yet, in one request. */
async function pushBlob(
  registry: OwnRegistry,
  repository: string,
  body: Uint8Array<ArrayBuffer>,
): Promise<{ digest: Digest; size: number }> {
  const digest = digestOf(body);
  if ((await registry.call("HEAD", `/v2/${repository}/blobs/${digest}`)).status !== 200) {
    const answer = await registry.call("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body });
    if (answer.status !== 201) throw new Error(`push of a blob: ${answer.status} ${await answer.text()}`);
  }
  return { digest, size: body.length };
}

/** Pushes an image of one layer that it has alone and one that it shares with others. */
async function pushImage(registry: OwnRegistry, repository: string, tag: string, own: string): Promise<Digest> {
  const bytes = (text: string, size: number): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.alloc(size, text));
  const blob = async (body: Uint8Array<ArrayBuffer>, mediaType: string): Promise<Manifest["config"]> => ({
    ...(await pushBlob(registry, repository, body)),
    mediaType,
  });
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    config: await blob(bytes(`{"own":"${own}"}`, 64), MEDIA.ociConfig),
    layers: [await blob(bytes("shared", 40_000), MEDIA.ociLayer), await blob(bytes(`${own} `, 60_000), MEDIA.ociLayer)],
  };
  const body = JSON.stringify(manifest);
  const answer = await registry.call("PUT", `/v2/${repository}/manifests/${tag}`, { body, headers: { "content-type": MEDIA.ociManifest } });
  if (answer.status !== 201) throw new Error(`push of ${repository}:${tag}: ${answer.status} ${await answer.text()}`);
  return digestOf(body);
}

/** Pulls a tag with all that it refers to, checking each digest: the blobs it has. */
async function pullWhole(registry: OwnRegistry, repository: string, tag: string): Promise<Digest[]> {
  const answer = await registry.call("GET", `/v2/${repository}/manifests/${tag}`);
  const body = await answer.text();
  if (answer.status !== 200) throw new Error(`pull of ${repository}:${tag}: ${answer.status} ${body}`);
  const { config, layers } = JSON.parse(body) as Manifest;
  for (const { digest } of [config, ...layers]) {
    const blob = await registry.call("GET", `/v2/${repository}/blobs/${digest}`);
    const found = digestOf(await blob.bytes());
    if (blob.status !== 200 || found !== digest) throw new Error(`blob ${digest} of ${repository}:${tag}: ${blob.status}, ${found}`);
  }
  return [digestOf(body), config.digest, ...layers.map(({ digest }) => digest)];
}

async function tagsOf(registry: OwnRegistry): Promise<[repository: string, tag: string][]> {
  const { repositories } = (await (await registry.call("GET", "/v2/_catalog?n=1000")).json()) as { repositories: string[] };
  const all: [string, string][] = [];
  for (const repository of repositories) {
    const answer = await registry.call("GET", `/v2/${repository}/tags/list?n=10000`);
    if (answer.status !== 200) continue;
    for (const tag of ((await answer.json()) as { tags: string[] | null }).tags ?? []) all.push([repository, tag]);
  }
  return all;
}

test(
  "blobs in a bucket: skopeo pushes and pulls, uploads go on after kill -9, the index comes back from the bucket, what is deleted goes",
  async () => {
    await using store = await startStore("images");
    const bucket = store.folder;
    const settings = { storage: { s3: { ...store.settings, "part-size": "5m" } }, gc: { grace: "0s", untagged: "0s" } };
    let registry = await own("bucket", settings);
    try {
      await registry.start();
      const ours = (): string => `docker://${registry.host}`;
      await skopeo(`oci:${layered}`, `${ours()}/team/app:1`);

      // Larger than one part, in two pieces, with a kill between them.
      const large = new Uint8Array(11 << 20).map((_, at) => (at * 7) % 253);
      const digest = digestOf(large);
      const location = (await registry.call("POST", "/v2/team/app/blobs/uploads/")).headers.get("location") ?? "";
      expect((await registry.call("PATCH", location, { body: large.slice(0, 4 << 20) })).status).toBe(202);
      await registry.end("SIGKILL");
      await registry.start();
      expect((await registry.call("GET", location)).headers.get("range")).toBe(`0-${(4 << 20) - 1}`);
      expect((await registry.call("PUT", `${location}?digest=${digest}`, { body: large.slice(4 << 20) })).status).toBe(201);
      expect(digestOf(await (await registry.call("GET", `/v2/team/app/blobs/${digest}`)).bytes())).toBe(digest);
      const part = await registry.call("GET", `/v2/team/app/blobs/${digest}`, { headers: { range: "bytes=6000000-6000009" } });
      expect([part.status, await part.bytes()]).toEqual([206, large.slice(6_000_000, 6_000_010)]);
      const manifest = await (await registry.call("GET", "/v2/team/app/manifests/1")).text();
      expect(await registry.end()).toBe(0);

      // The disk is lost: a new one, and clients are sent to the store for blobs.
      registry = await own("bucket-2", { ...settings, storage: { s3: { ...settings.storage.s3, redirect: true } } });
      await registry.start();
      await skopeo(`${ours()}/team/app:1`, `oci:${join(folder, "from-bucket")}:1`);
      expect(await (await registry.call("GET", "/v2/team/app/manifests/1")).text()).toBe(manifest);
      expect((await registry.call("GET", `/v2/team/app/blobs/${digest}`)).status).toBe(307);

      expect(await gc(registry, "--dry-run")).toMatch(/^Would remove 1 blob$/m);
      await gc(registry);
      expect((await registry.call("HEAD", `/v2/team/app/blobs/${digest}`)).status).toBe(404);
      await pullWhole(registry, "team/app", "1").catch(() => undefined);
      expect((await registry.call("DELETE", "/v2/team/app/manifests/1")).status).toBe(202);
      await gc(registry);
      expect(await objectsOf(bucket)).toEqual([]);
    } finally {
      await registry.end("SIGKILL");
    }
  },
  60_000 * SLOW,
);

test.each(["disk", "bucket"])(
  "collections under load: afterwards every tag pulls whole, and the %s holds what they need",
  async (place) => {
    await using store = place === "bucket" ? await startStore("loaded") : undefined;
    const storage = store === undefined ? {} : { storage: { s3: store.settings } };
    const busy = { gc: { grace: "10m", untagged: "10m" }, retention: [{ repositories: ["churn/*"], "keep-newest": 2 }] };
    const registry = await own(`load-${place}`, { ...storage, ...busy });
    await using _ends = registry;
    await registry.start();
    const workers = count(6, 32);
    const rounds = place === "disk" ? count(5, 40) : count(3, 10);
    let working = true;
    const kept = new Map<string, Digest>();
    const collect = async (): Promise<number> => {
      let runs = 0;
      for (; working; runs++) {
        expect((await gcOverSocket(registry)).status).toBe(200);
        await Bun.sleep(10);
      }
      return runs;
    };
    const work = async (worker: number): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        kept.set(
          `keep/${worker % 3}:w${worker}-${round}`,
          await pushImage(registry, `keep/${worker % 3}`, `w${worker}-${round}`, `${worker}/${round}`),
        );
        await pushImage(registry, `churn/${worker}`, `r${round}`, `churn ${worker}/${round}`);
        await pullWhole(registry, `keep/${worker % 3}`, `w${worker}-${Math.floor(round / 2)}`);
        if (round % 3 === 2) await registry.call("DELETE", `/v2/churn/${worker}/manifests/r${round}`);
      }
    };
    const collecting = collect();
    await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker))).finally(() => (working = false));
    await figure("registry", `collections while ${workers} clients push and pull, blobs on a ${place}`, await collecting);
    expect(await registry.end()).toBe(0);

    // Nobody pushes any more: what was kept for those who did may go.
    await Bun.write(join(registry.folder, "settings.json"), JSON.stringify({ ...storage, gc: { grace: "0s", untagged: "0s" } }));
    await registry.start();
    await gc(registry);
    const reachable = new Set<Digest>();
    const tags = await tagsOf(registry);
    for (const [repository, tag] of tags) for (const digest of await pullWhole(registry, repository, tag)) reachable.add(digest);
    for (const [name, digest] of kept) {
      const [repository = "", tag = ""] = name.split(":");
      expect((await registry.call("HEAD", `/v2/${repository}/manifests/${tag}`)).headers.get("docker-content-digest")).toBe(digest);
    }
    const blobs = join(registry.data, "content/blobs/sha256");
    const stored = store === undefined ? (await readdir(blobs)).toSorted() : await objectsOf(store.folder);
    expect(stored).toEqual([...reachable].map((digest) => digest.slice(7)).toSorted());
  },
  90_000 * SLOW,
);

async function gcOverSocket(registry: OwnRegistry): Promise<Response> {
  const answer = await fetch("http://registry/_lighter/gc", { method: "POST", unix: join(registry.data, "registry.sock") });
  await answer.bytes();
  return answer;
}

test(
  "kill -9 at random points of collections: never a lost blob",
  async () => {
    const random = randomOf();
    const registry = await own("killed", { gc: { grace: "0s", untagged: "0s" } });
    await using _ends = registry;
    const kills = count(6, 200);
    const alive = new Map<string, string>();
    for (let round = 0; round < kills; round++) {
      await registry.start();
      for (let image = 0; image < 4; image++) {
        const tag = `${round}-${image}`;
        // Without a grace time a collection may take what a push relies on: none runs now.
        await pushImage(registry, "app", tag, tag);
        alive.set(tag, tag);
      }
      for (const tag of [...alive.keys()].filter(() => random() < 0.5)) {
        expect((await registry.call("DELETE", `/v2/app/manifests/${tag}`)).status).toBe(202);
        alive.delete(tag);
      }
      const running = gcOverSocket(registry).catch(() => undefined);
      await Bun.sleep(random() * 12);
      await registry.end("SIGKILL");
      await running;
    }
    await registry.start();
    const reachable = new Set<Digest>();
    for (const tag of alive.keys()) for (const digest of await pullWhole(registry, "app", tag)) reachable.add(digest);
    expect((await tagsOf(registry)).map(([, tag]) => tag).toSorted()).toEqual([...alive.keys()].toSorted());
    await gc(registry);
    const blobs = await readdir(join(registry.data, "content/blobs/sha256"));
    expect(`seed ${SEED}: ${blobs.toSorted().join(" ")}`).toBe(
      `seed ${SEED}: ${[...reachable]
        .map((digest) => digest.slice(7))
        .toSorted()
        .join(" ")}`,
    );
    await figure("registry", "kills at random points of collections, nothing lost", kills);
    // Nobody serves the folder: the command opens it itself.
    await registry.end("SIGKILL");
    expect(await gc(registry)).toContain("Removed 0 blobs");
  },
  (30_000 + count(6, 200) * 5000) * SLOW,
);

test(
  "kill -9 at random points of pushes: what was acknowledged pulls whole, and no other blob stays",
  async () => {
    const random = randomOf(SEED + 1);
    const registry = await own("killed-pushes", { gc: { grace: "10m" } });
    await using _ends = registry;
    const acknowledged = new Set<string>();
    const kills = count(4, 200);
    for (let round = 0; round < kills; round++) {
      await registry.start();
      let pushing = true;
      const push = async (worker: number): Promise<void> => {
        for (let image = 0; pushing; image++) {
          const tag = `${round}-${worker}-${image}`;
          await pushImage(registry, `app/${worker}`, tag, tag);
          acknowledged.add(`app/${worker}:${tag}`);
        }
      };
      const pushers = [0, 1, 2].map((worker) => push(worker).catch(() => undefined));
      const collecting = gcOverSocket(registry).catch(() => undefined);
      await Bun.sleep(50 + random() * 150);
      pushing = false;
      await registry.end("SIGKILL");
      await Promise.all([...pushers, collecting]);
    }
    await Bun.write(join(registry.folder, "settings.json"), JSON.stringify({ gc: { grace: "0s" } }));
    await registry.start();
    await gc(registry);
    const reachable = new Set<Digest>();
    const tags = new Set<string>();
    for (const [repository, tag] of await tagsOf(registry)) {
      tags.add(`${repository}:${tag}`);
      for (const digest of await pullWhole(registry, repository, tag)) reachable.add(digest);
    }
    expect(`seed ${SEED}: ${[...acknowledged].filter((name) => !tags.has(name)).join(" ")}`).toBe(`seed ${SEED}: `);
    const blobs = await readdir(join(registry.data, "content/blobs/sha256"));
    expect(blobs.toSorted()).toEqual([...reachable].map((digest) => digest.slice(7)).toSorted());
    await figure("registry", "kills at random points of pushes, nothing acknowledged lost", kills);
    await figure("registry", "pushes acknowledged meanwhile", acknowledged.size);
  },
  (30_000 + count(4, 200) * 5000) * SLOW,
);

test(
  "another registry behind ours: fetched once, served when that is away, and pushes beside it",
  async () => {
    const upstream = await TestRegistry.start(join(folder, "upstream"));
    await using relay = await Relay.start(upstream.host);
    const registry = await own("cache", { proxies: [{ prefix: "docker.io", url: relay.url, ttl: "0s" }] });
    await using _ends = registry;
    try {
      const digest = await upstream.push(layered, "library/layered");
      await registry.start();
      const pulls = Array.from({ length: count(4, 100) }, (_, at) =>
        skopeo(`docker://${registry.host}/docker.io/library/layered:latest`, `oci:${join(folder, `pulled-${at}`)}:1`),
      );
      await Promise.all(pulls);
      const fetched = relay.seen.filter(({ method, path }) => method === "GET" && path.includes("/blobs/")).map(({ path }) => path);
      expect(fetched.length).toBeGreaterThan(1);
      expect(fetched.length).toBe(new Set(fetched).size);
      await figure("registry", `pulls of one image at once through a cache, and blobs fetched more than once`, `${pulls.length}, 0`);
      await upstream[Symbol.asyncDispose]();
      const stale = await registry.call("GET", "/v2/library/layered/manifests/latest");
      expect([stale.status, stale.headers.get("docker-content-digest"), stale.headers.get("warning")]).toEqual([
        200,
        digest,
        '299 - "the upstream does not answer: this may be stale"',
      ]);
      await skopeo(`docker://${registry.host}/library/layered:latest`, `docker://${registry.host}/team/layered:1`);
      expect((await registry.call("HEAD", "/v2/team/layered/manifests/1")).headers.get("docker-content-digest")).toBe(digest);
    } finally {
      await upstream[Symbol.asyncDispose]();
    }
  },
  60_000 * SLOW,
);

test(
  "notices outlive kill -9 until their receiver takes them",
  async () => {
    const port = freePort();
    const registry = await own("notices", { webhooks: [{ url: `http://127.0.0.1:${port}/`, actions: ["push"] }] });
    await using _ends = registry;
    await registry.start();
    const digest = await pushImage(registry, "app", "1", "told of");
    await registry.end("SIGKILL");
    const told: { action: string; target: { tag?: string; digest: string } }[] = [];
    const receiver = Bun.serve({
      hostname: "127.0.0.1",
      port,
      async fetch(request) {
        told.push(...((await request.json()) as { events: typeof told }).events);
        return new Response();
      },
    });
    try {
      await registry.start();
      await until("the receiver was told", () => told.length >= 4, { timeout: 30_000 });
      expect(told.find(({ target }) => target.tag === "1")).toMatchObject({ action: "push", target: { digest } });
    } finally {
      await receiver.stop(true);
    }
  },
  60_000 * SLOW,
);
