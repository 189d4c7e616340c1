/** What the OCI distribution specification, "Warnings", asks of clients: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#warnings */
import { describe, expect, test } from "bun:test";
import { parseReference } from "../base/reference.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { openDistribution } from "./open.ts";
import { Heard, warningsOf } from "./warnings.ts";

test("Warnings: the code is 299 and the agent a dash; whatever else is there is none", () => {
  const of = (...values: string[]): string[] => warningsOf(new Headers(values.map((value) => ["warning", value] as [string, string])));
  expect(of('299 - "gone next year"')).toEqual(["gone next year"]);
  expect(of('299 - "one, and \\"more\\" of it"', '299 - "two"')).toEqual(['one, and "more" of it', "two"]);
  expect(of('299 - "one", 299 - "two"')).toEqual(["one", "two"]);
  expect(of('110 - "stale"', '299 agent "x"', "299 - bare", '299 - ""', '1299 - "x"')).toEqual([]);
  expect(of('299 - "a\u001b[2Jb"'.replace("\u001b", "\x7f"))).toEqual(["a [2Jb"]);
  expect(of(`299 - "${"x".repeat(5000)}"`)).toEqual([]);
});

describe("Warnings: clients report them, once, and do nothing else about them", () => {
  test("whichever answer they come with", async () => {
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, layers: [] });
    const blob = new TextEncoder().encode("a blob");
    await using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => answer(request, manifest) });
    const host = `127.0.0.1:${server.port}`;
    const heard: string[] = [];
    const [repository] = openDistribution({
      insecureRegistries: [],
      registryMirrors: [],
      certificateDirectories: [],
      userAgent: "t",
    }).repository(parseReference(`${host}/x`), { push: true, warned: (text) => void heard.push(text) });
    if (repository === undefined) throw new Error("no repository");
    const fetched = await repository.manifest("1");
    expect(fetched.descriptor.digest).toBe(digestOf(manifest));
    await repository.tags();
    await repository.upload({ digest: digestOf(blob), size: blob.length, open: (offset) => new Blob([blob.slice(offset)]).stream() });
    await repository.putManifest("2", fetched.bytes, MEDIA.ociManifest);
    expect(new Set(heard)).toEqual(
      new Set(["GET manifests", "GET tags", "HEAD blobs", "POST blobs", "PUT blobs", "PUT manifests"].map((each) => `${host}: ${each}`)),
    );
  });

  test("each is told once, and those of later answers later", () => {
    const told: string[] = [];
    const heard = new Heard();
    const tell = (): void => heard.tell(({ status }) => void told.push(status));
    for (const line of ["a", "a", "b"]) heard.hear(line);
    tell();
    for (const line of ["b", "c"]) heard.hear(line);
    tell();
    expect(told).toEqual(["WARNING: a", "WARNING: b", "WARNING: c"]);
  });
});

/** A registry that warns with every answer of what was asked. */
async function answer(request: Request, manifest: string): Promise<Response> {
  const { pathname } = new URL(request.url);
  const kind = pathname.split("/")[3];
  await request.arrayBuffer();
  if (kind === undefined || kind === "") return new Response("{}");
  const headers = { warning: `299 - "${request.method} ${kind}"`, location: "/v2/x/blobs/uploads/1", range: "0-5" };
  if (request.method === "GET" && kind === "manifests")
    return new Response(manifest, { headers: { ...headers, "content-type": MEDIA.ociManifest } });
  if (request.method === "GET") return Response.json({ tags: [] }, { headers });
  const statuses: Record<string, number> = { HEAD: 404, POST: 202, PATCH: 202, PUT: 201 };
  return new Response(null, { status: statuses[request.method] ?? 405, headers });
}
