import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostileRegistry } from "../distribution/hostile.suite.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { layerOf, randomLayer, workshop, type Workshop } from "./workshop.suite.ts";

const programs = ["docker-registry", "skopeo"].filter((name) => Bun.which(name) === null);

/** Debian's docker-registry on a port of its own. */
async function foreignRegistry(folder: string): Promise<{ host: string; stop: () => Promise<void> }> {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const host = `127.0.0.1:${probe.port}`;
  probe.stop(true);
  const config = {
    version: 0.1,
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
    http: { addr: host },
    validation: { manifests: { urls: { allow: ["^http://"] } } },
  };
  await Bun.write(join(folder, "config.yml"), JSON.stringify(config));
  const server = Bun.spawn(["docker-registry", "serve", join(folder, "config.yml")], { stdout: "ignore", stderr: "ignore" });
  for (let attempt = 0; attempt < 1200; attempt++) {
    if (
      await fetch(`http://${host}/v2/`, { proxy: false }).then(
        (response) => response.ok,
        () => false,
      )
    )
      break;
    await Bun.sleep(25);
  }
  return {
    host,
    async stop() {
      server.kill();
      await server.exited;
    },
  };
}

async function skopeo(...args: string[]): Promise<string> {
  const child = Bun.spawn(["skopeo", ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`skopeo ${args.join(" ")}: ${err}`);
  return out;
}

async function importImage(shop: Workshop, name: string): Promise<string> {
  const [repository = "", tag = ""] = name.split(/:(?=[^:/]+$)/);
  const bytes = randomLayer("data", 300_000).bytes as Uint8Array<ArrayBuffer>;
  return shop.images.import(new Blob([bytes]).stream(), { repository, tag, changes: ["CMD /data"], progress: shop.progress });
}

describe.skipIf(process.getuid?.() !== 0 || programs.length > 0)("with Debian's docker-registry and skopeo", () => {
  let folder = "";
  let registry: Awaited<ReturnType<typeof foreignRegistry>> | undefined;
  const host = (): string => registry?.host ?? "";

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lighter-foreign-"));
    registry = await foreignRegistry(folder);
  });
  afterAll(async () => {
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test("push, then pull elsewhere: the same id; a second push sends nothing", async () => {
    await using shop = await workshop();
    const id = await importImage(shop, `${host()}/team/app:1`);
    await shop.images.push(`${host()}/team/app:1`, { progress: shop.progress });
    const told = shop.messages.map((message) => message.status);
    expect(told).toContain("Pushed");
    expect(shop.messages.at(-1)?.aux).toMatchObject({ Tag: "1", Digest: id });
    shop.messages.length = 0;
    await shop.images.push(`${host()}/team/app:1`, { progress: shop.progress });
    expect(shop.messages.map((message) => message.status)).toContain("Layer already exists");
    await shop.images.tag(`${host()}/team/app:1`, { repository: `${host()}/other/app`, tag: "2" });
    await shop.images.push(`${host()}/other/app:2`, { progress: shop.progress });
    expect(shop.messages.map((message) => message.status)).toContain("Mounted from team/app");

    await using other = await workshop();
    await other.images.pull(`${host()}/other/app:2`, { progress: other.progress });
    expect((await other.images.runnable(`${host()}/other/app:2`)).id).toBe(id as `sha256:${string}`);
    await other.images.pull(`${host()}/team/app`, { allTags: true, progress: other.progress });
    expect((await other.images.runnable(`${host()}/team/app:1`)).id).toBe(id as `sha256:${string}`);
  });

  test("a layer with an address of its own is pushed where the configuration says so; the image is the same", async () => {
    await using source = await hostileRegistry();
    const layer = randomLayer("a", 100_000);
    const config = {
      os: "linux",
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      rootfs: { type: "layers", diff_ids: [layer.diffId] },
    };
    const { digest } = source.addManifest("x", "2", {
      schemaVersion: 2,
      mediaType: MEDIA.ociManifest,
      config: source.addBlob(new TextEncoder().encode(JSON.stringify(config)), MEDIA.ociConfig),
      layers: [{ ...source.addBlob(layer.bytes, MEDIA.dockerForeignLayer), urls: [`http://${source.host}/v2/x/blobs/${layer.diffId}`] }],
    });
    for (const [nondistributable, status] of [
      [[], 404],
      [["example.test", "127.0.0.0/8"], 200],
    ] as const) {
      await using shop = await workshop({ nondistributable: [...nondistributable] });
      await shop.images.pull(`${source.host}/x:2`, { progress: shop.progress });
      await shop.images.tag(`${source.host}/x:2`, { repository: `${host()}/own${status}`, tag: "1" });
      await shop.images.push(`${host()}/own${status}:1`, { progress: shop.progress });
      expect(shop.messages.at(-1)?.aux).toMatchObject({ Digest: digest });
      expect((await fetch(`http://${host()}/v2/own${status}/blobs/${layer.diffId}`, { method: "HEAD" })).status).toBe(status);
    }
  });

  test("a ring: save, skopeo, registry, pull, our registry, skopeo, load; the digest stays", async () => {
    await using shop = await workshop();
    const id = await importImage(shop, "ring:1");
    const first = join(folder, "first.tar");
    await Bun.write(first, new Response(await shop.images.save(["ring:1"])));
    await skopeo("copy", "-q", "--preserve-digests", "--dest-tls-verify=false", `oci-archive:${first}:1`, `docker://${host()}/ring:1`);

    await using second = await workshop();
    await second.images.pull(`${host()}/ring:1`, { progress: second.progress });
    expect((await second.images.inspect(`${host()}/ring:1`)).Id).toBe(id);
    const archive = join(folder, "second.tar");
    await Bun.write(archive, new Response(await second.images.save([`${host()}/ring:1`])));

    // skopeo reads the same archive as docker's own form, and what it writes can be loaded.
    const layer = (await second.images.inspect(`${host()}/ring:1`)).RootFS?.Layers;
    const plain = join(folder, "plain.tar");
    await skopeo("copy", "-q", `docker-archive:${archive}`, `docker-archive:${plain}:again:1`);
    await second.images.load(Bun.file(plain).stream(), { progress: second.progress });
    expect((await second.images.inspect("again:1")).RootFS?.Layers).toEqual(layer);

    const layout = join(folder, "third.tar");
    await skopeo("copy", "-q", "--preserve-digests", "--src-tls-verify=false", `docker://${host()}/ring:1`, `oci-archive:${layout}:1`);
    await using third = await workshop();
    await third.images.load(Bun.file(layout).stream(), { progress: third.progress });
    expect(third.messages.at(-1)).toEqual({ stream: `Loaded image ID: ${id}\n` });
  });

  test("skopeo's forms: schema 2, zstd and plain layers, a copy by digest", async () => {
    await using shop = await workshop();
    await importImage(shop, "forms:1");
    const archive = join(folder, "forms.tar");
    await Bun.write(archive, new Response(await shop.images.save(["forms:1"])));
    const copy = (to: string, ...flags: string[]): Promise<string> =>
      skopeo("copy", "-q", "--dest-tls-verify=false", ...flags, `oci-archive:${archive}:1`, `docker://${host()}/forms:${to}`);
    await copy("v2s2", "--format", "v2s2");
    await copy("zstd", "--dest-compress-format", "zstd");
    for (const tag of ["v2s2", "zstd"]) {
      await shop.images.pull(`${host()}/forms:${tag}`, { progress: shop.progress });
      const runnable = await shop.images.runnable(`${host()}/forms:${tag}`);
      expect((await Bun.file(join(runnable.layers[0] ?? "", "data")).bytes()).length).toBe(300_000);
      const digest = (await skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", `docker://${host()}/forms:${tag}`)).trim();
      expect(runnable.id).toBe(digest as `sha256:${string}`);
    }
  });

  test("an index goes out with all its platforms; with one of them missing, one platform, and that is said", async () => {
    await using origin = await hostileRegistry();
    const host64 = process.arch === "x64" ? "amd64" : process.arch;
    const parts = [host64, "s390x"].map((architecture) => {
      const layer = layerOf({ [architecture]: "1" });
      return { ...origin.addImage("multi", architecture, [layer], { architecture }), platform: { os: "linux", architecture } };
    });
    const index = origin.addManifest("multi", "1", { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: parts }, MEDIA.ociIndex);
    await using shop = await workshop();
    await shop.images.pull(`${origin.host}/multi:1`, { progress: shop.progress });
    await shop.images.tag(`${origin.host}/multi:1`, { repository: `${host()}/multi`, tag: "part" });
    await shop.images.push(`${host()}/multi:part`, { progress: shop.progress });
    expect(shop.messages.at(-1)?.aux).toMatchObject({ Digest: parts[0]?.digest });
    const note = shop.messages
      .map(({ aux }) => aux as Record<string, unknown> | undefined)
      .find((aux) => aux?.["manifestPushedInsteadOfIndex"]);
    expect(note).toMatchObject({ originalIndex: { digest: index.digest }, selectedManifest: { digest: parts[0]?.digest } });

    await shop.images.pull(`${origin.host}/multi:1`, { platform: "linux/s390x", progress: shop.progress });
    await shop.images.tag(`${origin.host}/multi:1`, { repository: `${host()}/multi`, tag: "whole" });
    await shop.images.push(`${host()}/multi:whole`, { progress: shop.progress });
    expect(shop.messages.at(-1)?.aux).toMatchObject({ Digest: index.digest });
    const raw = await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${host()}/multi:whole`);
    expect(digestOf(raw)).toBe(index.digest);
    await using other = await workshop();
    await other.images.pull(`${host()}/multi:whole`, { platform: "linux/s390x", progress: other.progress });
    expect((await other.images.runnable(`${host()}/multi:whole`, { platform: "linux/s390x" })).manifest).toBe(
      parts[1]?.digest ?? ("sha256:" as const),
    );

    // One platform alone can be saved, and is found again by its own digest.
    await using third = await workshop();
    const archive = await shop.images.save([`${host()}/multi:whole`], { platforms: ["linux/s390x"] });
    await third.images.load(archive, { progress: third.progress });
    expect((await third.images.inspect(`${host()}/multi:whole`)).Id).toBe(parts[1]?.digest ?? "");
    expect((await third.images.inspect(`${host()}/multi:whole`)).Architecture).toBe("s390x");
  });

  test("errors in Docker's words", async () => {
    await using shop = await workshop();
    const error = await shop.images.pull(`${host()}/team/app:none`, { progress: shop.progress }).catch((reason: unknown) => reason);
    expect((error as Error).message).toBe(`manifest for ${host()}/team/app:none not found: manifest unknown: manifest unknown`);
    expect(shop.messages).toEqual([]);
  });
});
