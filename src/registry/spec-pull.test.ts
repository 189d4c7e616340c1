/**
 * Pull and content discovery: every MUST and SHOULD that the distribution specification (1.1) has for registries, by the titles of its sections.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Index } from "../oci/image.ts";
import { codesOf, must, openTestRegistry, type TestRegistry } from "./spec-fixture.ts";

const NOWHERE = digestOf("nowhere");
const MANIFEST = { "content-type": MEDIA.ociManifest };
let registry: TestRegistry;
beforeAll(async () => void (registry = await openTestRegistry()));
afterAll(async () => await registry?.[Symbol.asyncDispose]());

describe("Determining Support", () => {
  test("GET /v2/ is 200 OK", async () => {
    const { status, headers } = await registry.call("GET", "/v2/");
    expect([status, headers.get("docker-distribution-api-version")]).toEqual([200, "registry/2.0"]);
  });
});

describe("Pulling manifests", () => {
  test("by tag and by digest: 200, the expected bytes, their type without parameters, their digest", async () => {
    const { digest, manifest } = await registry.pushImage("pull/manifests", "v1");
    for (const reference of ["v1", digest]) {
      const got = await must(
        registry.call("GET", `/v2/pull/manifests/manifests/${reference}`, { headers: { accept: MEDIA.ociManifest } }),
        200,
      );
      expect(got.headers.get("content-type")).toBe(MEDIA.ociManifest);
      expect(got.headers.get("docker-content-digest")).toBe(digest);
      expect(got.headers.get("content-length")).toBe(String(manifest.length));
      expect(await got.text()).toBe(manifest);
    }
  });

  test("the type is the one that it was pushed with", async () => {
    const config = await registry.pushBlob("pull/types", "{}", MEDIA.ociConfig);
    const image = { schemaVersion: 2, config, layers: [] };
    const lists = { schemaVersion: 2, manifests: [] };
    for (const [type, fields] of [
      [MEDIA.ociManifest, image],
      [MEDIA.dockerManifest, image],
      [MEDIA.ociIndex, lists],
      [MEDIA.dockerIndex, lists],
    ] as const) {
      const body = JSON.stringify({ ...fields, mediaType: type });
      await must(registry.call("PUT", "/v2/pull/types/manifests/x", { body, headers: { "content-type": type } }), 201);
      for (const method of ["GET", "HEAD"])
        expect((await must(registry.call(method, "/v2/pull/types/manifests/x"), 200)).headers.get("content-type")).toBe(type);
    }
  });

  test("what is not in the repository is 404", async () => {
    const { digest } = await registry.pushImage("pull/manifests", "v1");
    expect(await codesOf(await must(registry.call("GET", "/v2/pull/manifests/manifests/v9"), 404))).toEqual(["MANIFEST_UNKNOWN"]);
    expect(await codesOf(await must(registry.call("GET", `/v2/pull/manifests/manifests/${NOWHERE}`), 404))).toEqual(["MANIFEST_UNKNOWN"]);
    expect(await codesOf(await must(registry.call("GET", `/v2/pull/other/manifests/${digest}`), 404))).toEqual(["NAME_UNKNOWN"]);
  });

  test("names and tags match their grammar, and nothing else is taken", async () => {
    for (const name of ["a", "a/b", "a__b/c-d/e.f", "a--b"]) await must(registry.call("GET", `/v2/${name}/manifests/x`), 404);
    for (const name of ["A", "a//b", "-a", "a_", "a..b", "a___b", "a/b-"]) {
      expect(await codesOf(await registry.call("GET", `/v2/${name}/manifests/x`))).toEqual(["NAME_INVALID"]);
    }
    expect(await codesOf(await must(registry.call("GET", `/v2/${"a/".repeat(130)}b/manifests/x`), 400))).toEqual(["NAME_INVALID"]);
    const body = (await registry.pushImage("grammar", "x")).manifest;
    const put = (tag: string): Promise<Response> => registry.call("PUT", `/v2/grammar/manifests/${tag}`, { body, headers: MANIFEST });
    for (const tag of ["A_b.c-9", "_x", "9", "t".repeat(128)]) await must(put(tag), 201);
    for (const tag of [".x", "-x", "t".repeat(129), "a%20b", "a%2Fb", "%2e%2e", "sha256:12", "md5:0123"]) await must(put(tag), 400);
  });

  test("Accept: an index goes to who takes indexes; who takes single manifests alone gets the one for linux/amd64", async () => {
    const one = await registry.pushImage("negotiate", "amd");
    const descriptor = {
      mediaType: MEDIA.ociManifest,
      digest: one.digest,
      size: one.manifest.length,
      platform: { os: "linux", architecture: "amd64" },
    };
    const index = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [descriptor] });
    await must(registry.call("PUT", "/v2/negotiate/manifests/all", { body: index, headers: { "content-type": MEDIA.ociIndex } }), 201);
    const typeFor = async (accept: string): Promise<string | null> =>
      (await registry.call("GET", "/v2/negotiate/manifests/all", { headers: { accept } })).headers.get("content-type");
    expect(await typeFor(`${MEDIA.ociManifest}, ${MEDIA.ociIndex};q=0.5`)).toBe(MEDIA.ociIndex);
    expect(await typeFor("*/*")).toBe(MEDIA.ociIndex);
    expect(await typeFor(MEDIA.ociManifest)).toBe(MEDIA.ociManifest);
    expect(await typeFor(MEDIA.dockerManifest)).toBe(MEDIA.ociIndex);
  });
});

describe("Pulling blobs", () => {
  test("200 with the expected bytes and their digest; 404 where the repository does not have it", async () => {
    const { digest } = await registry.pushBlob("pull/blobs", "0123456789");
    const got = await must(registry.call("GET", `/v2/pull/blobs/blobs/${digest}`), 200);
    expect([got.headers.get("docker-content-digest"), got.headers.get("content-length"), await got.text()]).toEqual([
      digest,
      "10",
      "0123456789",
    ]);
    expect(await codesOf(await must(registry.call("GET", `/v2/pull/other/blobs/${digest}`), 404))).toEqual(["BLOB_UNKNOWN"]);
    expect(await codesOf(await must(registry.call("GET", "/v2/pull/blobs/blobs/sha256:zz"), 400))).toEqual(["DIGEST_INVALID"]);
  });

  test("Range as RFC 9110, section 14, has it", async () => {
    const { digest } = await registry.pushBlob("pull/blobs", "0123456789");
    const get = (headers: Record<string, string>): Promise<Response> => registry.call("GET", `/v2/pull/blobs/blobs/${digest}`, { headers });
    for (const [range, bytes, shown] of [
      ["bytes=3-5", "345", "bytes 3-5/10"],
      ["bytes=7-", "789", "bytes 7-9/10"],
      ["bytes=-2", "89", "bytes 8-9/10"],
      ["bytes=-99", "0123456789", "bytes 0-9/10"],
      ["bytes=8-99", "89", "bytes 8-9/10"],
      ["bytes=0-0", "0", "bytes 0-0/10"],
    ] as const) {
      const part = await must(get({ range }), 206);
      expect([part.headers.get("content-range"), part.headers.get("content-length"), await part.text()]).toEqual([
        shown,
        String(bytes.length),
        bytes,
      ]);
    }
    expect((await must(get({ range: "bytes=10-" }), 416)).headers.get("content-range")).toBe("bytes */10");
    // What is no range of one part in bytes is as if it were not there (section 14.2).
    for (const range of ["bytes=5-3", "bytes=", "lines=1-2", "bytes=a-b", "bytes=0-1,3-4"])
      expect(await (await must(get({ range }), 200)).text()).toBe("0123456789");
    await must(get({ range: "bytes=0-1", "if-range": `"${digest}"` }), 206);
    await must(get({ range: "bytes=0-1", "if-range": '"other"' }), 200);
    await must(get({ "if-none-match": `"${digest}"` }), 304);
  });
});

describe("Checking if content exists in the registry", () => {
  test("HEAD: 200 with digest and length, or 404", async () => {
    const { digest, manifest } = await registry.pushImage("exists", "v1");
    const layer = await registry.pushBlob("exists", "layer");
    for (const [path, expected, length] of [
      ["manifests/v1", digest, manifest.length],
      [`manifests/${digest}`, digest, manifest.length],
      [`blobs/${layer.digest}`, layer.digest, 5],
    ] as const) {
      const { headers } = await must(registry.call("HEAD", `/v2/exists/${path}`), 200);
      expect([headers.get("docker-content-digest"), headers.get("content-length")]).toEqual([expected, String(length)]);
    }
    for (const path of ["manifests/v9", `manifests/${NOWHERE}`, `blobs/${NOWHERE}`])
      await must(registry.call("HEAD", `/v2/exists/${path}`), 404);
  });
});

describe("Listing Tags", () => {
  const list = async (query = ""): Promise<{ name: string; tags: string[]; link: string | null }> => {
    const response = await must(registry.call("GET", `/v2/list/tags/tags/list${query}`), 200);
    return { ...((await response.json()) as { name: string; tags: string[] }), link: response.headers.get("link") };
  };
  const sorted = ["A", "_u", "a", "b1", "b10", "b2", "z"];

  test("all in order; pages by n and last, with a Link where there are more", async () => {
    for (const tag of sorted.toReversed()) await registry.pushImage("list/tags", tag);
    expect(await list()).toEqual({ name: "list/tags", tags: sorted, link: null });
    expect(await list("?n=3")).toEqual({
      name: "list/tags",
      tags: sorted.slice(0, 3),
      link: '</v2/list/tags/tags/list?n=3&last=a>; rel="next"',
    });
    expect((await list("?n=3&last=a")).tags).toEqual(sorted.slice(3, 6));
    expect((await list("?last=b1")).tags).toEqual(sorted.slice(4));
    expect(await list("?n=7")).toEqual({ name: "list/tags", tags: sorted, link: null });
    expect(await list("?n=0")).toEqual({ name: "list/tags", tags: [], link: null });
    expect((await list("?n=100&last=zz")).tags).toEqual([]);
    const seen: string[] = [];
    for (let next: string | undefined = "?n=2"; next !== undefined;) {
      const page = await list(next);
      seen.push(...page.tags);
      next = page.link?.match(/<[^?]*(\?[^>]*)>/)?.[1];
    }
    expect(seen).toEqual(sorted);
  });

  test("a repository without tags has an empty list; one that is not there is 404", async () => {
    await registry.pushBlob("list/none", "blob");
    expect(await (await must(registry.call("GET", "/v2/list/none/tags/list"), 200)).json()).toEqual({ name: "list/none", tags: [] });
    expect(await codesOf(await must(registry.call("GET", "/v2/list/nowhere/tags/list"), 404))).toEqual(["NAME_UNKNOWN"]);
  });
});

describe("Listing Referrers", () => {
  const list = async (digest: string, query = ""): Promise<{ index: Index; headers: Headers }> => {
    const response = await must(registry.call("GET", `/v2/refer/referrers/${digest}${query}`), 200);
    return { index: (await response.json()) as Index, headers: response.headers };
  };

  test("an index of what has the subject, with types and annotations; pushed before or after it", async () => {
    const target = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [], annotations: { is: "the target" } });
    const subject = { mediaType: MEDIA.ociIndex, digest: digestOf(target), size: target.length };
    const before = await registry.pushImage("refer", digestOf("x").slice(7, 20), {
      subject,
      artifactType: "application/sbom",
      annotations: { a: "1" },
    });
    await must(registry.call("PUT", "/v2/refer/manifests/target", { body: target, headers: { "content-type": MEDIA.ociIndex } }), 201);
    const after = await registry.pushImage("refer", "after", { subject, annotations: { b: "2" } });
    const indexed = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [], subject });
    await must(registry.call("PUT", "/v2/refer/manifests/indexed", { body: indexed, headers: { "content-type": MEDIA.ociIndex } }), 201);

    const { index, headers } = await list(subject.digest);
    expect(headers.get("content-type")).toBe(MEDIA.ociIndex);
    expect(headers.get("oci-filters-applied")).toBeNull();
    expect([index.schemaVersion, index.mediaType]).toEqual([2, MEDIA.ociIndex]);
    const expected = [
      {
        mediaType: MEDIA.ociManifest,
        digest: before.digest,
        size: before.manifest.length,
        artifactType: "application/sbom",
        annotations: { a: "1" },
      },
      {
        mediaType: MEDIA.ociManifest,
        digest: after.digest,
        size: after.manifest.length,
        artifactType: MEDIA.ociConfig,
        annotations: { b: "2" },
      },
      { mediaType: MEDIA.ociIndex, digest: digestOf(indexed), size: indexed.length },
    ];
    const byDigest = (a: { digest: string }, b: { digest: string }): number => (a.digest < b.digest ? -1 : 1);
    expect(index.manifests.toSorted(byDigest)).toEqual(expected.toSorted(byDigest));

    const filtered = await list(subject.digest, "?artifactType=application/sbom");
    expect(filtered.headers.get("oci-filters-applied")).toBe("artifactType");
    expect(filtered.index.manifests.map(({ digest }) => digest)).toEqual([before.digest]);
    expect((await list(subject.digest, "?artifactType=application/none")).index.manifests).toEqual([]);

    const empty = await registry.pushImage("refer", "empty", { subject, artifactType: "" });
    const { manifests } = (await list(subject.digest, `?artifactType=${encodeURIComponent(MEDIA.ociConfig)}`)).index;
    expect(manifests.map(({ digest }) => digest).toSorted()).toEqual([after.digest, empty.digest].toSorted());

    await must(registry.call("DELETE", `/v2/refer/manifests/${before.digest}`), 202);
    expect((await list(subject.digest, "?artifactType=application/sbom")).index.manifests).toEqual([]);
  });

  test("nothing that refers is an empty list, never 404; what is no digest is 400", async () => {
    expect((await list(NOWHERE)).index).toEqual({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [] });
    await must(registry.call("GET", `/v2/not/there/referrers/${NOWHERE}`), 200);
    for (const wrong of ["sha256:12", "latest", "md5:00"]) await must(registry.call("GET", `/v2/refer/referrers/${wrong}`), 400);
  });

  test("a list that is too long for one answer goes on at its Link", async () => {
    const digest = digestOf("popular");
    registry.state.write(
      (tx) => {
        for (let n = 0; n < 1500; n++) {
          const each = digestOf(`referrer ${n}`);
          tx.run("INSERT INTO registry_referrers VALUES (?, ?, ?, ?, ?)", "refer", digest, each, "x/y", JSON.stringify({ digest: each }));
        }
      },
      { durable: false },
    );
    const seen = new Set<string>();
    for (let next: string | undefined = "?artifactType=x/y"; next !== undefined;) {
      const { index, headers } = await list(digest, next);
      for (const each of index.manifests) seen.add(each.digest);
      next = headers.get("link")?.match(/<[^?]*(\?[^>]*)>; rel="next"/)?.[1];
    }
    expect(seen.size).toBe(1500);
  });
});

describe("Enabling the Referrers API", () => {
  test("manifests that were pushed before there were referrers are listed", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lighter-old-"));
    const subject = { mediaType: MEDIA.ociManifest, digest: digestOf("an old subject"), size: 2 };
    let digest = "";
    {
      await using old = await openTestRegistry({}, folder);
      digest = (await old.pushImage("old", "signature", { subject })).digest;
      old.state.write(
        (tx) => {
          tx.run("DELETE FROM registry_referrers");
          tx.run("DELETE FROM settings WHERE key = 'registry.referrers'");
        },
        { durable: false },
      );
    }
    await using updated = await openTestRegistry({}, folder);
    const { manifests } = (await (await updated.call("GET", `/v2/old/referrers/${subject.digest}`)).json()) as Index;
    expect(manifests.map((each) => each.digest as string)).toEqual([digest]);
    await rm(folder, { recursive: true });
  });
});

test("the catalog, by pages", async () => {
  await using shop = await openTestRegistry();
  const names = ["a", "a/b", "b", "c/d", "e"];
  for (const name of names.toReversed()) await shop.pushBlob(name, "x");
  const page = async (query: string): Promise<[unknown, string | null]> => {
    const response = await must(shop.call("GET", `/v2/_catalog${query}`), 200);
    return [((await response.json()) as { repositories: unknown }).repositories, response.headers.get("link")];
  };
  expect(await page("")).toEqual([names, null]);
  expect(await page("?n=2")).toEqual([["a", "a/b"], '</v2/_catalog?n=2&last=a%2Fb>; rel="next"']);
  expect(await page("?n=2&last=a/b")).toEqual([["b", "c/d"], '</v2/_catalog?n=2&last=c%2Fd>; rel="next"']);
  expect(await page("?n=2&last=c/d")).toEqual([["e"], null]);
  expect(await page("?n=0")).toEqual([[], null]);
});
