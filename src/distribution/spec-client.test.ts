/**
 * What the OCI distribution specification asks of clients, by its sections: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 * Warnings are in warnings.test.ts, tokens, redirects and mirrors in open.test.ts and patience.test.ts, uploads that break in upload.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { kindOf, messageOf } from "../base/errors.ts";
import { parseReference } from "../base/reference.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Descriptor } from "../oci/image.ts";
import type { DistributionOptions, Repository } from "./distribution.ts";
import { openDistribution } from "./open.ts";
import { referrersTag } from "./referrers.ts";

const options: DistributionOptions = { insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "lighter/test" };

interface Asked {
  method: string;
  /** Below `/v2/x/`. */
  path: string;
  url: URL;
  headers: Headers;
  body: Uint8Array;
}

type Answers = (asked: Asked) => Response | undefined;

/** A registry of one repository that answers as it is told, with 404 where it is told nothing. */
function registryOf(answers: Answers): { repository: Repository; asked: Asked[] } & AsyncDisposable {
  const asked: Asked[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname === "/v2/") return Response.json({});
      const path = url.pathname.replace("/v2/x/", "");
      const one: Asked = { method: request.method, path, url, headers: request.headers, body: new Uint8Array(await request.arrayBuffer()) };
      asked.push(one);
      return answers(one) ?? Response.json({ errors: [{ code: "MANIFEST_UNKNOWN" }] }, { status: 404 });
    },
  });
  const repository = openDistribution(options).repository(parseReference(`127.0.0.1:${server.port}/x`), { push: true })[0];
  if (repository === undefined) throw new Error("no repository");
  return { repository, asked, [Symbol.asyncDispose]: () => server.stop(true) };
}

const CONFIG = { mediaType: MEDIA.ociConfig, digest: digestOf("{}"), size: 2 };
const DOCUMENT = { schemaVersion: 2, mediaType: MEDIA.ociManifest, config: CONFIG, layers: [] };
const bytesOf = (document: object): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(document));
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("Pulling manifests", () => {
  const serving =
    (bytes: Uint8Array<ArrayBuffer>, headers: Record<string, string>): Answers =>
    ({ path }) =>
      path.startsWith("manifests/") ? new Response(bytes, { headers }) : undefined;

  test("Accept names the types that the client takes; parameters of the Content-Type are ignored", async () => {
    await using registry = registryOf(serving(bytesOf(DOCUMENT), { "content-type": `${MEDIA.ociManifest}; charset=utf-8` }));
    expect((await registry.repository.manifest("1")).descriptor.mediaType).toBe(MEDIA.ociManifest);
    const accept = registry.asked[0]?.headers.get("accept") ?? "";
    for (const type of [MEDIA.ociManifest, MEDIA.ociIndex, MEDIA.dockerManifest, MEDIA.dockerIndex]) expect(accept).toContain(type);
  });

  test("a manifest that names another type than the Content-Type is refused; one that names none is taken", async () => {
    for (const type of [MEDIA.dockerManifest, MEDIA.ociIndex]) {
      await using registry = registryOf(serving(bytesOf(DOCUMENT), { "content-type": type }));
      const error = await failure(registry.repository.manifest("1"));
      expect([kindOf(error), messageOf(error)]).toEqual(["invalid", expect.stringContaining(`and the registry that it is "${type}"`)]);
    }
    const { mediaType: _, ...without } = DOCUMENT;
    await using registry = registryOf(serving(bytesOf(without), { "content-type": MEDIA.dockerManifest }));
    expect((await registry.repository.manifest("1")).descriptor.mediaType).toBe(MEDIA.dockerManifest);
  });

  test("where the Content-Type is that of any file, the manifest's own word holds", async () => {
    for (const type of ["application/json", "application/octet-stream", "text/plain; charset=utf-8"]) {
      await using registry = registryOf(serving(bytesOf(DOCUMENT), { "content-type": type }));
      expect((await registry.repository.manifest("1")).descriptor.mediaType).toBe(DOCUMENT.mediaType);
    }
  });

  test("the digest is that which was asked for, and that which the registry names", async () => {
    const other = digestOf("other");
    await using registry = registryOf(serving(bytesOf(DOCUMENT), { "content-type": MEDIA.ociManifest, "docker-content-digest": other }));
    for (const reference of ["1", other]) expect(kindOf(await failure(registry.repository.manifest(reference)))).toBe("invalid");
  });
});

describe("Pushing Manifests", () => {
  test("the Content-Type is that which the manifest names, without parameters; the bytes are those that were given", async () => {
    await using registry = registryOf(() => new Response(null, { status: 201 }));
    const { mediaType: _, ...without } = DOCUMENT;
    await registry.repository.putManifest("1", bytesOf(DOCUMENT), MEDIA.dockerManifest);
    await registry.repository.putManifest("2", bytesOf(without), MEDIA.dockerManifest);
    expect(registry.asked.map(({ headers }) => headers.get("content-type"))).toEqual([MEDIA.ociManifest, MEDIA.dockerManifest]);
    expect(registry.asked[0]?.body).toEqual(bytesOf(DOCUMENT));
  });

  test("4 megabytes are sent and taken", async () => {
    const large = bytesOf({ ...DOCUMENT, annotations: { a: "x".repeat(4_000_000) } });
    await using registry = registryOf(({ method }) =>
      method === "PUT" ? new Response(null, { status: 201 }) : new Response(large, { headers: { "content-type": MEDIA.ociManifest } }),
    );
    await registry.repository.putManifest("1", large, MEDIA.ociManifest);
    expect(registry.asked[0]?.body.length).toBe(large.length);
    expect((await registry.repository.manifest("1")).bytes.length).toBe(large.length);
  });
});

describe("Pushing Manifests with Subject", () => {
  const subject: Descriptor = { mediaType: MEDIA.ociManifest, digest: digestOf("subject"), size: 7 };
  const tag = referrersTag(subject.digest);
  const referring = bytesOf({ ...DOCUMENT, subject, annotations: { made: "here" } });
  const entry = {
    mediaType: MEDIA.ociManifest,
    digest: digestOf(referring),
    size: referring.length,
    artifactType: MEDIA.ociConfig,
    annotations: { made: "here" },
  };
  const known = { mediaType: MEDIA.ociManifest, digest: digestOf("before"), size: 3 };

  /** Has manifests by tag and takes others. */
  function keeping(tags: Map<string, { bytes: Uint8Array<ArrayBuffer>; type: string }>, subjects = false): Answers {
    return ({ method, path, headers, body }) => {
      const name = path.replace("manifests/", "");
      const found = tags.get(name);
      if (method !== "PUT") return found && new Response(found.bytes, { headers: { "content-type": found.type } });
      tags.set(name, { bytes: new Uint8Array(body), type: headers.get("content-type") ?? "" });
      return new Response(null, { status: 201, headers: subjects ? { "oci-subject": subject.digest } : {} });
    };
  }
  const listOf = (tags: Map<string, { bytes: Uint8Array }>): unknown => JSON.parse(new TextDecoder().decode(tags.get(tag)?.bytes));

  test("a registry that notes the subject keeps the list itself", async () => {
    const tags = new Map();
    await using registry = registryOf(keeping(tags, true));
    await registry.repository.putManifest("1", referring, MEDIA.ociManifest);
    expect([...tags.keys()]).toEqual(["1"]);
  });

  test("where it does not, the list under the tag begins empty and gets the manifest with its type and annotations, once", async () => {
    const tags = new Map<string, { bytes: Uint8Array<ArrayBuffer>; type: string }>();
    await using registry = registryOf(keeping(tags));
    for (let time = 0; time < 2; time++) await registry.repository.putManifest("1", referring, MEDIA.ociManifest);
    expect(tags.get(tag)?.type).toBe(MEDIA.ociIndex);
    expect(listOf(tags)).toEqual({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [entry] });
    expect(registry.asked.filter(({ method, path }) => method === "PUT" && path === `manifests/${tag}`)).toHaveLength(1);
    const artifact = bytesOf({ ...DOCUMENT, subject, artifactType: "text/sbom" });
    await registry.repository.putManifest("2", artifact, MEDIA.ociManifest);
    const added = { mediaType: MEDIA.ociManifest, digest: digestOf(artifact), size: artifact.length, artifactType: "text/sbom" };
    expect(listOf(tags)).toEqual({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [entry, added] });
  });

  test("a list that is there keeps what is in it; what is no list is left alone, and told", async () => {
    const list = bytesOf({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [known], annotations: { kept: "1" } });
    const tags = new Map([[tag, { bytes: list, type: MEDIA.ociIndex as string }]]);
    await using registry = registryOf(keeping(tags));
    await registry.repository.putManifest("1", referring, MEDIA.ociManifest);
    expect(listOf(tags)).toEqual({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [known, entry], annotations: { kept: "1" } });
    tags.set(tag, { bytes: bytesOf(DOCUMENT), type: MEDIA.ociManifest });
    expect(kindOf(await failure(registry.repository.putManifest("1", referring, MEDIA.ociManifest)))).toBe("conflict");
    expect(tags.get(tag)?.bytes).toEqual(bytesOf(DOCUMENT));
  });
});

describe("Unavailable Referrers API", () => {
  const entry = { mediaType: MEDIA.ociManifest, digest: digestOf("referrer"), size: 8, artifactType: "text/sbom" };

  test("the API where there is one; a 404 means the list under the tag; neither means none", async () => {
    const digest = digestOf("subject");
    const index = bytesOf({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [entry] });
    const served =
      (where: string, bytes = index): Answers =>
      ({ path }) =>
        path === where ? new Response(bytes, { headers: { "content-type": MEDIA.ociIndex } }) : undefined;
    for (const where of [`referrers/${digest}`, `manifests/${referrersTag(digest)}`]) {
      await using registry = registryOf(served(where));
      expect(await registry.repository.referrers(digest)).toEqual([entry]);
    }
    await using none = registryOf(() => undefined);
    expect(await none.repository.referrers(digest)).toEqual([]);
  });

  test("Referrers Tag Schema: the algorithm, a hyphen, the encoded part", () => {
    expect(referrersTag(`sha256:${"a".repeat(64)}`)).toBe(`sha256-${"a".repeat(64)}`);
  });
});

describe("Pushing a blob in chunks", () => {
  const blob = new TextEncoder().encode("twenty bytes of it..");
  const open = (offset: number): ReadableStream<Uint8Array> => new Blob([blob.slice(offset)]).stream();

  test("each request goes to the place that the last answer named, in order, and the last one names the digest of the whole", async () => {
    let part = 0;
    await using registry = registryOf(({ method, path, body }) => {
      if (!path.startsWith("blobs/uploads")) return undefined;
      const location = `/v2/x/blobs/uploads/s?state=${method}${part}`;
      if (method === "PATCH") part += body.length;
      if (method === "PUT") return new Response(null, { status: 201 });
      return new Response(null, { status: 202, headers: { location, ...(part > 0 && { range: `0-${part - 1}` }) } });
    });
    expect(await registry.repository.upload({ digest: digestOf(blob), size: blob.length, open })).toBe("uploaded");
    const [, begin, ...rest] = registry.asked;
    expect([begin?.method, begin?.headers.get("content-length")]).toEqual(["POST", "0"]);
    expect(rest.map(({ method, url }) => [method, url.searchParams.get("state")])).toEqual([
      ["PATCH", "POST0"],
      ["PUT", "PATCH0"],
    ]);
    expect(rest.at(-1)?.url.searchParams.get("digest")).toBe(digestOf(blob));
  });

  test("ranges begin with 0, are inclusive and follow each other; no chunk but the last is shorter than OCI-Chunk-Min-Length", async () => {
    const [least, size] = [34 << 20, 36 << 20];
    const bytes = Buffer.alloc(size);
    let part = 0;
    await using registry = registryOf(({ method, path, headers, body }) => {
      if (!path.startsWith("blobs/uploads")) return undefined;
      if (method === "PUT") return new Response(null, { status: 201 });
      // The whole at once is too much for it.
      if (method === "PATCH" && !headers.has("content-range")) return new Response(null, { status: 413 });
      if (method === "PATCH") part += body.length;
      const told = {
        location: "/v2/x/blobs/uploads/s",
        "oci-chunk-min-length": String(least),
        ...(part > 0 && { range: `0-${part - 1}` }),
      };
      return new Response(null, { status: 202, headers: told });
    });
    const read = (offset: number): ReadableStream<Uint8Array> => new Blob([bytes.subarray(offset)]).stream();
    expect(await registry.repository.upload({ digest: digestOf(bytes), size, open: read })).toBe("uploaded");
    const ranges = registry.asked.map(({ headers }) => headers.get("content-range")).filter((range) => range !== null);
    expect(ranges).toEqual([`0-${least - 1}`, `${least}-${size - 1}`]);
  });
});

describe("Cancel a blob upload", () => {
  test("an upload that the registry does not want is given up by DELETE; a failure of that is ignored", async () => {
    for (const status of [204, 500]) {
      const blob = new TextEncoder().encode("blob");
      await using registry = registryOf(({ method, path }) => {
        if (!path.startsWith("blobs/uploads")) return undefined;
        if (method === "DELETE") return new Response(null, { status });
        if (method === "PUT") return Response.json({ errors: [{ code: "DENIED", message: "quota" }] }, { status: 403 });
        return new Response(null, {
          status: 202,
          headers: { location: "/v2/x/blobs/uploads/s", ...(method === "PATCH" && { range: "0-3" }) },
        });
      });
      const open = (offset: number): ReadableStream<Uint8Array> => new Blob([blob.slice(offset)]).stream();
      const error = await failure(registry.repository.upload({ digest: digestOf(blob), size: 4, open }));
      expect(messageOf(error)).toContain("quota");
      expect(registry.asked.at(-1)?.method).toBe("DELETE");
    }
  });
});
