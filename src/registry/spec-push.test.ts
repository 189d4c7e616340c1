/**
 * Push: every MUST and SHOULD that the distribution specification (1.1) has for registries, by the titles of its sections.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Index } from "../oci/image.ts";
import { codesOf, must, openTestRegistry, sha512, type TestRegistry } from "./spec-fixture.ts";

const NOWHERE = digestOf("nowhere");
const MANIFEST = { "content-type": MEDIA.ociManifest };
let registry: TestRegistry;
beforeAll(async () => void (registry = await openTestRegistry()));
afterAll(async () => await registry?.[Symbol.asyncDispose]());

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
      expect(
        await codesOf(await must(registry.call("PUT", `${await registry.begin("push")}?digest=${digest}`, { body: "x" }), 400)),
      ).toEqual(["DIGEST_INVALID"]);
      expect(await codesOf(await must(registry.call("POST", `/v2/push/blobs/uploads/?digest=${digest}`, { body: "x" }), 400))).toEqual([
        "DIGEST_INVALID",
      ]);
    }
    await must(registry.call("POST", "/v2/push/blobs/uploads/?digest-algorithm=md5"), 400);
  });

  test("a digest of other bytes is 400, and nothing of them is shown", async () => {
    expect(
      await codesOf(await must(registry.call("PUT", `${await registry.begin("push")}?digest=${NOWHERE}`, { body: "other bytes" }), 400)),
    ).toEqual(["DIGEST_INVALID"]);
    await must(registry.call("HEAD", `/v2/push/blobs/${NOWHERE}`), 404);
    await must(registry.call("HEAD", `/v2/push/blobs/${digestOf("other bytes")}`), 404);
  });
});

describe("POST then PUT", () => {
  test("202 with a place that names the session, then 201 with a place to pull from", async () => {
    const location = await registry.begin("mono");
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

  test("the last chunk may come by PATCH; the session is closed by a PUT, which names the digest of the whole, and not before it", async () => {
    const location = await registry.begin("chunks");
    const { headers } = await must(patch(location, "all", "0-2"), 202);
    expect(new URL(headers.get("location") ?? "", registry.address).pathname).toBe(new URL(location, registry.address).pathname);
    await must(registry.call("HEAD", `/v2/chunks/blobs/${digestOf("all")}`), 404);
    expect(await codesOf(await must(registry.call("PUT", location), 400))).toEqual(["DIGEST_INVALID"]);
    const done = await must(registry.call("PUT", `${location}?digest=${digestOf("all")}`), 201);
    expect(await (await registry.call("GET", done.headers.get("location") ?? "")).text()).toBe("all");
    await must(registry.call("HEAD", `/v2/chunks/blobs/${digestOf("all")}`), 200);
  });

  test("out of order is 416, in the closing PUT as well, and the upload goes on from where it was", async () => {
    const location = await registry.begin("chunks");
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
    expect(await codesOf(await must(patch(await registry.begin("chunks"), "four", "0-9"), 400))).toEqual(["SIZE_INVALID"]);
  });

  test("GET of the session: 204 with how far it is", async () => {
    const location = await registry.begin("chunks");
    await patch(location, "hello", "0-4");
    const { headers } = await must(registry.call("GET", location), 204);
    expect([headers.get("range"), headers.get("location")]).toEqual(["0-4", location]);
    await must(registry.call("GET", location.replace(/.{12}$/, "000000000000")), 404);
  });

  test("another digest algorithm, told before or not", async () => {
    for (const query of ["?digest-algorithm=sha512", ""]) {
      const text = `by sha512 ${query}`;
      const location = await registry.begin("chunks/sha512", query);
      await must(registry.call("PATCH", location, { body: text }), 202);
      const done = await must(registry.call("PUT", `${location}?digest=${sha512(text)}`), 201);
      expect(done.headers.get("docker-content-digest")).toBe(sha512(text));
      expect(await (await must(registry.call("GET", `/v2/chunks/sha512/blobs/${sha512(text)}`), 200)).text()).toBe(text);
      const wrong = await registry.begin("chunks/sha512", query);
      await must(registry.call("PUT", `${wrong}?digest=${sha512("another")}`, { body: text }), 400);
      await must(registry.call("HEAD", `/v2/chunks/sha512/blobs/${sha512("another")}`), 404);
    }
  });
});

describe("Cancel a blob upload", () => {
  test("204, and the session is gone", async () => {
    const location = await registry.begin("cancel");
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
