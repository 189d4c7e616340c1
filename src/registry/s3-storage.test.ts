import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { openContent } from "../content/open.ts";
import { State } from "../state/state.ts";
import { openStorage } from "./open-storage.ts";
import { REGISTRY_ROOTS } from "./rows.ts";
import { parseSettings } from "./settings.ts";

/** A bucket in memory that tells what was asked of it and may refuse. The suite registry-storage has a whole store. */
function openBucket() {
  const objects = new Map<string, Uint8Array>();
  const bucket = { objects, seen: [] as string[], refuses: (_line: string): boolean => false, endpoint: "", stop: () => server.stop(true) };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const key = new URL(request.url).pathname.replace(/^\/images\//, "");
      const line = `${request.method} ${key}`;
      bucket.seen.push(line);
      if (bucket.refuses(line)) return new Response("<Error><Code>AccessDenied</Code></Error>", { status: 403 });
      if (request.method === "PUT") objects.set(key, await request.bytes());
      if (request.method === "DELETE") return new Response(null, { status: objects.delete(key) ? 204 : 404 });
      const found = objects.get(key);
      return found === undefined
        ? new Response("<Error><Code>NoSuchKey</Code></Error>", { status: 404 })
        : new Response(new Uint8Array(found));
    },
  });
  bucket.endpoint = `http://127.0.0.1:${server.port}`;
  return bucket;
}

test("an object is deleted after the bucket's index has ceased to name it, and not before", async () => {
  const bucket = openBucket();
  const folder = await mkdtemp(join(tmpdir(), "lighter-s3-"));
  const state = new State(join(folder, "state.db"));
  const content = await openContent({ dataRoot: folder, state, roots: [REGISTRY_ROOTS] });
  const s3 = { bucket: "images", endpoint: bucket.endpoint, "access-key": "k", "secret-key": "s" };
  const storage = await openStorage({ state, content, s3: parseSettings({ storage: { s3 } }).s3 });
  const named = (): unknown[] => {
    const index = gunzipSync(bucket.objects.get("index.json.gz") ?? new Uint8Array()).toString();
    return (JSON.parse(index) as { tables: { blobs: unknown[][] } }).tables.blobs.map(([digest]) => digest);
  };
  try {
    const lease = storage.lease("test");
    const { digest } = await storage.writeBlob(Buffer.from("unwanted"), "x", lease);
    const key = `blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}`;
    // The index in the bucket names it, as half a minute later.
    await storage.close();
    expect([named(), bucket.objects.has(key)]).toEqual([[digest], true]);
    lease[Symbol.dispose]();

    bucket.refuses = (line) => line === "PUT index.json.gz";
    await storage.collect().catch(() => undefined);
    expect([named(), bucket.objects.has(key)]).toEqual([[digest], true]);

    bucket.refuses = (line) => line.startsWith("DELETE") && named().includes(digest);
    await storage.collect();
    expect([named(), bucket.objects.has(key)]).toEqual([[], false]);
  } finally {
    await storage.close();
    state.close();
    await bucket.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
