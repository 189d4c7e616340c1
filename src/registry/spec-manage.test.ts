/**
 * Content management and errors: every MUST and SHOULD that the distribution specification (1.1) has for registries, by the titles of its sections.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { digestOf } from "../oci/digest.ts";
import { codesOf, must, openTestRegistry, type TestRegistry } from "./spec-fixture.ts";

const NOWHERE = digestOf("nowhere");
let registry: TestRegistry;
beforeAll(async () => void (registry = await openTestRegistry()));
afterAll(async () => await registry?.[Symbol.asyncDispose]());

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
      ["PUT", `${await registry.begin("errors")}?digest=x`],
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
