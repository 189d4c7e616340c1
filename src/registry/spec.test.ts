/**
 * Every MUST and SHOULD that the distribution specification (1.1) has for registries, by the titles of its sections.
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

function sha512(text: string): string {
  return `sha512:${new Bun.CryptoHasher("sha512").update(text).digest("hex")}`;
}

/** Begins an upload; where it goes on. */
async function begin(repository: string, query = ""): Promise<string> {
  const begun = await must(registry.call("POST", `/v2/${repository}/blobs/uploads/${query}`, { headers: { "content-length": "0" } }), 202);
  return begun.headers.get("location") ?? "";
}

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

describe("Push", () => {
  test("a manifest whose subject is not here is taken; one whose blobs are not gives MANIFEST_BLOB_UNKNOWN", async () => {
    const subject = { mediaType: MEDIA.ociManifest, digest: NOWHERE, size: 2 };
    expect((await registry.pushImage("push", "signed", { subject })).response.status).toBe(201);
    const missing = { mediaType: MEDIA.ociLayer, digest: NOWHERE, size: 2 };
    const { response } = await registry.pushImage("push", "v1", { layers: [missing] });
    expect([response.status, await codesOf(response)]).toEqual([404, ["MANIFEST_BLOB_UNKNOWN"]]);
    await must(registry.call("GET", "/v2/push/manifests/v1"), 404);
  });
});

describe("Pushing blobs", () => {
  test("a digest that is wrong or of an unknown algorithm is 400", async () => {
    for (const digest of ["sha256:12", "md5:d41d8cd98f00b204e9800998ecf8427e", "nonsense", `sha256:${"A".repeat(64)}`]) {
      expect(await codesOf(await must(registry.call("PUT", `${await begin("push")}?digest=${digest}`, { body: "x" }), 400))).toEqual([
        "DIGEST_INVALID",
      ]);
      expect(await codesOf(await must(registry.call("POST", `/v2/push/blobs/uploads/?digest=${digest}`, { body: "x" }), 400))).toEqual([
        "DIGEST_INVALID",
      ]);
    }
    await must(registry.call("POST", "/v2/push/blobs/uploads/?digest-algorithm=md5"), 400);
  });

  test("a digest of other bytes is 400, and nothing of them is shown", async () => {
    expect(
      await codesOf(await must(registry.call("PUT", `${await begin("push")}?digest=${NOWHERE}`, { body: "other bytes" }), 400)),
    ).toEqual(["DIGEST_INVALID"]);
    await must(registry.call("HEAD", `/v2/push/blobs/${NOWHERE}`), 404);
    await must(registry.call("HEAD", `/v2/push/blobs/${digestOf("other bytes")}`), 404);
  });
});

describe("POST then PUT", () => {
  test("202 with a place that names the session, then 201 with a place to pull from", async () => {
    const location = await begin("mono");
    expect(location).toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    const done = await must(registry.call("PUT", `${location}?digest=${digestOf("blob")}`, { body: "blob" }), 201);
    expect(done.headers.get("docker-content-digest")).toBe(digestOf("blob"));
    expect(await (await registry.call("GET", done.headers.get("location") ?? "")).text()).toBe("blob");
    await must(registry.call("GET", location), 404);
  });
});

describe("Single POST", () => {
  test("201 with a place to pull from; other bytes than the digest's are 400", async () => {
    const done = await must(registry.call("POST", `/v2/single/blobs/uploads/?digest=${digestOf("one")}`, { body: "one" }), 201);
    expect(await (await registry.call("GET", done.headers.get("location") ?? "")).text()).toBe("one");
    await must(registry.call("POST", `/v2/single/blobs/uploads/?digest=${digestOf("two")}`, { body: "three" }), 400);
  });
});

describe("Pushing a blob in chunks", () => {
  const patch = (location: string, body: string, range: string): Promise<Response> =>
    registry.call("PATCH", location, { body, headers: { "content-range": range, "content-type": "application/octet-stream" } });

  test("each chunk is 202 with where to go on and how far it is; the closing PUT may bring the last", async () => {
    const begun = await must(registry.call("POST", "/v2/chunks/blobs/uploads/"), 202);
    expect(Number(begun.headers.get("oci-chunk-min-length"))).toBeGreaterThan(0);
    const first = await must(patch(begun.headers.get("location") ?? "", "hello ", "0-5"), 202);
    expect(first.headers.get("range")).toBe("0-5");
    const second = await must(patch(first.headers.get("location") ?? "", "wide ", "6-10"), 202);
    expect(second.headers.get("range")).toBe("0-10");
    const location = second.headers.get("location") ?? "";
    const done = await registry.call("PUT", `${location}?digest=${digestOf("hello wide world")}`, {
      body: "world",
      headers: { "content-range": "11-15" },
    });
    expect([done.status, await (await registry.call("GET", done.headers.get("location") ?? "")).text()]).toEqual([201, "hello wide world"]);
  });

  test("the last chunk may come by PATCH, the session is closed by a PUT without a body", async () => {
    const location = await begin("chunks");
    await must(patch(location, "all", "0-2"), 202);
    await must(registry.call("PUT", `${location}?digest=${digestOf("all")}`), 201);
  });

  test("out of order is 416, in the closing PUT as well, and the upload goes on from where it was", async () => {
    const location = await begin("chunks");
    await must(patch(location, "world", "5-9"), 416);
    await must(patch(location, "hello", "0-4"), 202);
    const again = await must(patch(location, "hello", "0-4"), 416);
    expect([again.headers.get("range"), again.headers.get("location")]).toEqual(["0-4", location]);
    await must(patch(location, "world", "7-11"), 416);
    await must(patch(location, "world", "x-y"), 416);
    const put = (range: string): Promise<Response> =>
      registry.call("PUT", `${location}?digest=${digestOf("helloworld")}`, { body: "world", headers: { "content-range": range } });
    await must(put("6-10"), 416);
    await must(put("5-9"), 201);
  });

  test("a chunk that is not as long as its range says is refused", async () => {
    expect(await codesOf(await must(patch(await begin("chunks"), "four", "0-9"), 400))).toEqual(["SIZE_INVALID"]);
  });

  test("GET of the session: 204 with how far it is", async () => {
    const location = await begin("chunks");
    await patch(location, "hello", "0-4");
    const { headers } = await must(registry.call("GET", location), 204);
    expect([headers.get("range"), headers.get("location")]).toEqual(["0-4", location]);
    await must(registry.call("GET", location.replace(/.{12}$/, "000000000000")), 404);
  });

  test("another digest algorithm, told before or not", async () => {
    for (const query of ["?digest-algorithm=sha512", ""]) {
      const text = `by sha512 ${query}`;
      const location = await begin("chunks/sha512", query);
      await must(registry.call("PATCH", location, { body: text }), 202);
      const done = await must(registry.call("PUT", `${location}?digest=${sha512(text)}`), 201);
      expect(done.headers.get("docker-content-digest")).toBe(sha512(text));
      expect(await (await must(registry.call("GET", `/v2/chunks/sha512/blobs/${sha512(text)}`), 200)).text()).toBe(text);
      const wrong = await begin("chunks/sha512", query);
      await must(registry.call("PUT", `${wrong}?digest=${sha512("another")}`, { body: text }), 400);
      await must(registry.call("HEAD", `/v2/chunks/sha512/blobs/${sha512("another")}`), 404);
    }
  });
});

describe("Cancel a blob upload", () => {
  test("204, and the session is gone", async () => {
    const location = await begin("cancel");
    await must(registry.call("DELETE", location, { headers: { "content-length": "0" } }), 204);
    expect(await codesOf(await must(registry.call("PATCH", location, { body: "x" }), 404))).toEqual(["BLOB_UPLOAD_UNKNOWN"]);
  });
});

describe("Mounting a blob from another repository", () => {
  test("201 with a place to pull from, with the other's name and without it", async () => {
    const { digest } = await registry.pushBlob("mount/from", "to be mounted");
    for (const [target, query] of [
      ["mount/a", "&from=mount/from"],
      ["mount/b", ""],
    ] as const) {
      const done = await must(registry.call("POST", `/v2/${target}/blobs/uploads/?mount=${digest}${query}`), 201);
      expect(done.headers.get("location")).toContain(`/v2/${target}/`);
      expect(await (await registry.call("GET", done.headers.get("location") ?? "")).text()).toBe("to be mounted");
    }
  });

  test("what cannot be mounted begins an upload: 202", async () => {
    const { digest } = await registry.pushBlob("mount/from", "to be mounted");
    for (const query of [
      `mount=${NOWHERE}&from=mount/from`,
      `mount=${digest}&from=mount/other`,
      `mount=${digest}&from=../x`,
      `mount=${NOWHERE}`,
    ]) {
      const begun = await must(registry.call("POST", `/v2/mount/c/blobs/uploads/?${query}`), 202);
      await must(registry.call("GET", begun.headers.get("location") ?? ""), 204);
    }
  });
});

describe("Pushing Manifests", () => {
  test("201 with a place to pull from, where the very same bytes are", async () => {
    const config = await registry.pushBlob("bytes", "{}", MEDIA.ociConfig);
    const odd = `{ "schemaVersion" : 2,\n  "layers": [], "config": ${JSON.stringify(config)}, "x": "\\u00e9" }\n`;
    for (const reference of ["odd", digestOf(odd)]) {
      const put = await must(registry.call("PUT", `/v2/bytes/manifests/${reference}`, { body: odd, headers: MANIFEST }), 201);
      expect(put.headers.get("docker-content-digest")).toBe(digestOf(odd));
      expect(await (await registry.call("GET", put.headers.get("location") ?? "")).text()).toBe(odd);
    }
    await must(registry.call("PUT", `/v2/bytes/manifests/${NOWHERE}`, { body: odd, headers: MANIFEST }), 400);
  });

  test("parameters of the Content-Type are ignored", async () => {
    const { manifest } = await registry.pushImage("types", "v1");
    await must(
      registry.call("PUT", "/v2/types/manifests/v2", {
        body: manifest,
        headers: { "content-type": `${MEDIA.ociManifest}; charset=utf-8` },
      }),
      201,
    );
    expect((await registry.call("GET", "/v2/types/manifests/v2")).headers.get("content-type")).toBe(MEDIA.ociManifest);
  });

  test("the list of blobs may be empty; types of configs and layers are free", async () => {
    const config = await registry.pushBlob("artifact", "{}", "application/vnd.example.unknown+json");
    const { response } = await registry.pushImage("artifact", "v1", { config, layers: [], artifactType: "application/vnd.example" });
    expect(response.status).toBe(201);
    const nothing = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [] });
    await must(registry.call("PUT", "/v2/artifact/manifests/none", { body: nothing, headers: { "content-type": MEDIA.ociIndex } }), 201);
  });

  test("what is no manifest is MANIFEST_INVALID", async () => {
    const { manifest } = await registry.pushImage("wrong", "v1");
    const put = (body: string, type: string = MEDIA.ociManifest): Promise<Response> =>
      registry.call("PUT", "/v2/wrong/manifests/x", { body, headers: { "content-type": type } });
    for (const body of ["", "garbage", "null", "[]", "{}", '{"schemaVersion":1}', '{"schemaVersion":2,"config":{"digest":"x"}}', "\xff"]) {
      expect(await codesOf(await must(put(body), 400))).toEqual(["MANIFEST_INVALID"]);
    }
    await must(put(manifest, MEDIA.ociIndex), 400);
    await must(put(manifest, "text/plain"), 400);
  });

  test("a push by digest sets the tags that it names, and says so", async () => {
    const { digest, manifest } = await registry.pushImage("many", "first");
    const wanted = Array.from({ length: 12 }, (_, index) => `t${index}`);
    const query = wanted.map((tag) => `tag=${tag}`).join("&");
    const put = await must(registry.call("PUT", `/v2/many/manifests/${digest}?${query}`, { body: manifest, headers: MANIFEST }), 201);
    expect((put.headers.get("oci-tag") ?? "").split(/, */)).toEqual(wanted);
    for (const tag of wanted)
      expect((await must(registry.call("HEAD", `/v2/many/manifests/${tag}`), 200)).headers.get("docker-content-digest")).toBe(digest);
    await must(registry.call("PUT", `/v2/many/manifests/${digest}?tag=-x`, { body: manifest, headers: MANIFEST }), 400);
    const crowd = Array.from({ length: 101 }, (_, index) => `tag=c${index}`).join("&");
    await must(registry.call("PUT", `/v2/many/manifests/${digest}?${crowd}`, { body: manifest, headers: MANIFEST }), 414);
  });

  test("4 megabytes are taken, more are 413", async () => {
    const fill = (size: number): Promise<{ response: Response }> =>
      registry.pushImage("large", "x", { annotations: { fill: "x".repeat(size) } });
    expect((await fill(4_000_000)).response.status).toBe(201);
    expect((await fill(5_000_000)).response.status).toBe(413);
  });

  test("a manifest by sha512", async () => {
    const { manifest } = await registry.pushImage("by512", "v1");
    await must(registry.call("PUT", `/v2/by512/manifests/${sha512(manifest)}?tag=strong`, { body: manifest, headers: MANIFEST }), 201);
    const got = await must(registry.call("GET", "/v2/by512/manifests/strong"), 200);
    expect([got.headers.get("docker-content-digest"), await got.text()]).toEqual([sha512(manifest), manifest]);
  });

  test("an image whose configuration and layers go by sha512", async () => {
    const push = async (text: string, mediaType: string): Promise<object> => {
      await must(registry.call("POST", `/v2/strong/blobs/uploads/?digest=${sha512(text)}`, { body: text }), 201);
      return { mediaType, digest: sha512(text), size: text.length };
    };
    const fields = { config: await push("{}", MEDIA.ociConfig), layers: [await push("a strong layer", MEDIA.ociLayer)] };
    const { digest, response } = await registry.pushImage("strong", "v1", {
      ...fields,
      subject: { mediaType: MEDIA.ociManifest, digest: sha512("target"), size: 6 },
    });
    expect([response.status, response.headers.get("oci-subject")]).toEqual([201, sha512("target")]);
    const referrers = (await (await must(registry.call("GET", `/v2/strong/referrers/${sha512("target")}`), 200)).json()) as Index;
    expect(referrers.manifests.map((each) => each.digest)).toEqual([digest]);
    await must(registry.call("POST", `/v2/mounted/blobs/uploads/?mount=${sha512("a strong layer")}&from=strong`), 201);
    expect(await (await registry.call("GET", `/v2/mounted/blobs/${sha512("a strong layer")}`)).text()).toBe("a strong layer");
  });

  test("conditional pushes: a tag is set only where it has not moved", async () => {
    const first = await registry.pushImage("moves", "v1");
    const put = (headers: Record<string, string>): Promise<Response> =>
      registry.call("PUT", "/v2/moves/manifests/v1", { body: first.manifest, headers: { ...MANIFEST, ...headers } });
    await must(put({ "if-none-match": "*" }), 412);
    await must(put({ "if-match": `"${NOWHERE}"` }), 412);
    await must(put({ "if-match": `"${first.digest}"` }), 201);
    const race = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        registry.call("PUT", "/v2/moves/manifests/new", {
          body: first.manifest.replace("{", `{"n":${n},`),
          headers: { ...MANIFEST, "if-none-match": "*" },
        }),
      ),
    );
    expect(race.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, ...Array.from({ length: 7 }, () => 412)]);
  });
});

describe("Pushing Manifests with Subject", () => {
  test("OCI-Subject says that the subject was noted", async () => {
    const subject = { mediaType: MEDIA.ociManifest, digest: NOWHERE, size: 2 };
    expect((await registry.pushImage("subject", "s", { subject })).response.headers.get("oci-subject")).toBe(NOWHERE);
    expect((await registry.pushImage("subject", "n")).response.headers.get("oci-subject")).toBeNull();
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

describe("Deleting tags", () => {
  test("202; then it is 404, and the manifest stays", async () => {
    const { digest } = await registry.pushImage("delete/tags", "v1");
    await must(registry.call("DELETE", "/v2/delete/tags/manifests/v1"), 202);
    await must(registry.call("GET", "/v2/delete/tags/manifests/v1"), 404);
    await must(registry.call("GET", `/v2/delete/tags/manifests/${digest}`), 200);
    await must(registry.call("DELETE", "/v2/delete/tags/manifests/v1"), 404);
  });
});

describe("Deleting Manifests", () => {
  test("202; then its digest and every tag of it are 404", async () => {
    const { digest } = await registry.pushImage("delete/manifests", "v1");
    await registry.pushImage("delete/manifests", "v2");
    await must(registry.call("DELETE", `/v2/delete/manifests/manifests/${digest}`), 202);
    for (const reference of [digest, "v1", "v2"]) await must(registry.call("GET", `/v2/delete/manifests/manifests/${reference}`), 404);
    await must(registry.call("DELETE", `/v2/delete/manifests/manifests/${digest}`), 404);
    expect(await codesOf(await must(registry.call("DELETE", `/v2/delete/nowhere/manifests/${digest}`), 404))).toEqual(["NAME_UNKNOWN"]);
  });
});

describe("Deleting Blobs", () => {
  test("202, then 404; other repositories keep it", async () => {
    const { digest } = await registry.pushBlob("delete/blobs", "shared");
    await registry.pushBlob("delete/other", "shared");
    await must(registry.call("DELETE", `/v2/delete/blobs/blobs/${digest}`), 202);
    await must(registry.call("GET", `/v2/delete/blobs/blobs/${digest}`), 404);
    expect(await codesOf(await must(registry.call("DELETE", `/v2/delete/blobs/blobs/${digest}`), 404))).toEqual(["BLOB_UNKNOWN"]);
    await must(registry.call("GET", `/v2/delete/other/blobs/${digest}`), 200);
  });
});

describe("Content Management", () => {
  test("where deletion is disabled: 405 for tags, manifests and blobs; uploads can be cancelled still", async () => {
    await using closed = await openTestRegistry({ noDelete: true });
    const { digest } = await closed.pushImage("x", "v1");
    const blob = await closed.pushBlob("x", "layer");
    for (const path of ["manifests/v1", `manifests/${digest}`, `blobs/${blob.digest}`]) {
      const refused = await must(closed.call("DELETE", `/v2/x/${path}`), 405);
      expect(await codesOf(refused)).toEqual(["UNSUPPORTED"]);
    }
    const begun = await closed.call("POST", "/v2/x/blobs/uploads/");
    await must(closed.call("DELETE", begun.headers.get("location") ?? ""), 204);
  });

  test("a registry for reading alone", async () => {
    await using closed = await openTestRegistry({ readOnly: true });
    for (const [method, path] of [
      ["POST", "blobs/uploads/"],
      ["PUT", "manifests/x"],
      ["DELETE", "manifests/x"],
    ] as const) {
      await must(closed.call(method, `/v2/x/${path}`, method === "PUT" ? { body: "{}" } : {}), 405);
    }
    await must(closed.call("GET", "/v2/"), 200);
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

describe("Error Codes", () => {
  const known = new Set(
    "BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED UNSUPPORTED TOOMANYREQUESTS".split(
      " ",
    ),
  );

  test("every refusal has a body of the form, with a code of the list", async () => {
    for (const [method, path] of [
      ["GET", "/v2/x/manifests/none"],
      ["GET", `/v2/x/blobs/${NOWHERE}`],
      ["PATCH", "/v2/x/blobs/uploads/none"],
      ["POST", "/v2/x/manifests/none"],
      ["GET", "/v2/UPPER/tags/list"],
      ["PUT", "/v2/x/manifests/-"],
      ["DELETE", "/v2/x/manifests/none"],
      ["PUT", `${await begin("errors")}?digest=x`],
    ] as const) {
      const response = await registry.call(method, path, method === "GET" || method === "DELETE" ? {} : { body: "x" });
      const { errors } = (await response.json()) as { errors: { code: string; message: string }[] };
      expect(response.status).toBeWithin(400, 500);
      for (const { code, message } of errors) expect([known.has(code), typeof message]).toEqual([true, "string"]);
    }
  });

  test("429 has a Retry-After", async () => {
    await using busy = await openTestRegistry({ rateLimit: { requests: 2, seconds: 3600 } });
    for (let n = 0; n < 2; n++) await must(busy.call("GET", "/v2/"), 200);
    const refused = await must(busy.call("GET", "/v2/"), 429);
    expect(Number(refused.headers.get("retry-after"))).toBeWithin(1, 3601);
    expect(await codesOf(refused)).toEqual(["TOOMANYREQUESTS"]);
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
