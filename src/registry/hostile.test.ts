import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { receive } from "./receive.ts";
import { codesOf, must, openTestRegistry, type TestRegistry } from "./spec-fixture.ts";

let registry: TestRegistry;
beforeAll(async () => void (registry = await openTestRegistry()));
afterAll(async () => await registry?.[Symbol.asyncDispose]());

/** A connection that says what it likes; what came back when it ends, or once `enough` is in it. */
async function raw(
  text: string | Uint8Array,
  { end = false, enough = "\r\n\r\n" }: { end?: boolean; enough?: string } = {},
): Promise<string> {
  const socket = await connected();
  const { promise, resolve } = Promise.withResolvers<string>();
  let answer = "";
  socket.on("data", (data) => {
    answer += data.toString();
    if (answer.includes(enough)) resolve(answer);
  });
  socket.on("close", () => resolve(answer));
  socket.on("error", () => resolve(answer));
  socket.write(text);
  if (end) socket.end();
  const got = await promise;
  socket.destroy();
  return got;
}

async function connected(): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = createConnection({ host: "127.0.0.1", port: Number(new URL(registry.address).port) }, () => resolve(socket));
  socket.once("error", reject);
  return await promise;
}

async function begin(repository: string): Promise<string> {
  return (await must(registry.call("POST", `/v2/${repository}/blobs/uploads/`), 202)).headers.get("location") ?? "";
}

test("names that climb, and what is no name, reach nothing", async () => {
  for (const path of [
    "/v2/../../etc/passwd/manifests/x",
    "/v2/a/../../b/manifests/x",
    "/v2/%2e%2e/%2e%2e/manifests/x",
    "/v2/a/blobs/..%2f..%2f..%2fetc%2fpasswd",
    "/v2/a/blobs/sha256:..%2f..%2fstate.db",
    "/v2/a/manifests/..%2f..%2fstate.db",
    "/v2/a/blobs/uploads/..%2f..%2fstate.db",
    "/v2/a%00b/manifests/x",
    "/v2/a/manifests/%00",
    "/v2/a/manifests/%ff",
    "/v2//manifests/x",
    "/v2/a/referrers/..",
    "//v2/a/manifests/x",
  ]) {
    for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
      const answer = await raw(`${method} ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      expect(`${method} ${path} ${answer.split("\r\n")[0]}`).toMatch(/HTTP\/1\.1 4\d\d/);
    }
  }
});

test("what is no HTTP and headers without end are turned away; the registry goes on", async () => {
  expect(await raw("nonsense\r\n\r\n")).toMatch(/^(HTTP\/1\.1 400.*)?/s);
  expect(await raw(`GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: ${"x".repeat(1 << 20)}\r\n\r\n`)).toMatch(/^(HTTP\/1\.1 4\d\d.*)?$/s);
  expect(await raw(`GET /v2/${"a/".repeat(60_000)}x/manifests/y HTTP/1.1\r\nHost: x\r\n\r\n`)).toMatch(/^(HTTP\/1\.1 4\d\d.*)?$/s);
  await must(registry.call("GET", "/v2/"), 200);
});

test("a body that ends before its length: what came is kept, the upload goes on from there, and the blob is whole", async () => {
  const location = await begin("cut");
  const path = new URL(location, registry.address).pathname;
  await raw(`PATCH ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n${"a".repeat(400)}`, { end: true });
  await until(async () => (await registry.call("GET", location)).status === 204);
  const at = Number((await registry.call("GET", location)).headers.get("range")?.split("-")[1]) + 1;
  expect(at).toBeWithin(0, 402);
  const have = at === 1 ? 0 : at;
  const rest = "a".repeat(1000 - have);
  await must(
    registry.call("PUT", `${location}?digest=${digestOf("a".repeat(1000))}`, { body: rest, headers: { "content-range": `${have}-999` } }),
    201,
  );
  expect(await (await registry.call("GET", `/v2/cut/blobs/${digestOf("a".repeat(1000))}`)).text()).toBe("a".repeat(1000));
});

test("a single request that is cut off leaves no blob", async () => {
  const whole = "b".repeat(1000);
  await raw(
    `POST /v2/cut/blobs/uploads/?digest=${digestOf("b".repeat(400))} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n${"b".repeat(400)}`,
    { end: true },
  );
  await raw(
    `PUT ${new URL(await begin("cut"), registry.address).pathname}?digest=${digestOf(whole)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n${"b".repeat(400)}`,
    {
      end: true,
    },
  );
  for (const digest of [digestOf("b".repeat(400)), digestOf(whole)]) await must(registry.call("HEAD", `/v2/cut/blobs/${digest}`), 404);
});

test("a body that stalls is given up", async () => {
  const stalled = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new Uint8Array(5)) });
  const request = new Request("http://x/", { method: "PUT", body: stalled });
  let written = 0;
  const ingest = { write: (data: Uint8Array): Promise<void> => Promise.resolve(void (written += data.length)) };
  await expect(receive(request, ingest, 30)).rejects.toThrow("nothing came for 30 ms");
  expect(written).toBe(5);
});

test("manifests that are deep, long or odd are refused at once, or taken for what they are", async () => {
  const config = await registry.pushBlob("deep", "{}", MEDIA.ociConfig);
  const put = (body: string, type: string = MEDIA.ociManifest): Promise<Response> =>
    registry.call("PUT", "/v2/deep/manifests/x", { body, headers: { "content-type": type } });
  await must(put("[".repeat(1_000_000)), 400);
  await must(put(`{"a":`.repeat(500_000)), 400);
  const layers = Array.from({ length: 10_000 }, (_, index) => ({ mediaType: MEDIA.ociLayer, digest: digestOf(`layer ${index}`), size: 1 }));
  expect(await codesOf(await must(put(JSON.stringify({ schemaVersion: 2, config, layers })), 400))).toEqual(["MANIFEST_INVALID"]);
  const same = Array.from({ length: 1000 }, () => config);
  await must(put(JSON.stringify({ schemaVersion: 2, config, layers: same })), 201);
  const noise = `{"schemaVersion":2,"config":${JSON.stringify(config)},"layers":[],"__proto__":{"config":null},"constructor":1,"annotations":{"__proto__":"x"}}`;
  await must(put(noise), 201);
  for (const digest of ["sha256:" + "g".repeat(64), "../../x", "sha256:" + "A".repeat(64), 5, null]) {
    await must(put(JSON.stringify({ schemaVersion: 2, config: { ...config, digest }, layers: [] })), 400);
    await must(put(JSON.stringify({ schemaVersion: 2, config, layers: [], subject: { mediaType: "x", digest, size: 1 } })), 400);
  }
});

test("an upload is known to its repository alone", async () => {
  const location = await begin("mine");
  for (const method of ["GET", "PATCH", "PUT", "DELETE"]) {
    const refused = await registry.call(method, location.replace("/mine/", "/yours/"), method === "GET" ? {} : { body: "x" });
    if (method === "PUT") expect(refused.status).toBeOneOf([400, 404]);
    else expect(await codesOf(await must(Promise.resolve(refused), 404))).toEqual(["BLOB_UPLOAD_UNKNOWN"]);
  }
  await must(registry.call("PUT", `${location.replace("/mine/", "/yours/")}?digest=${digestOf("x")}`, { body: "x" }), 404);
  await must(registry.call("GET", location), 204);
});

test("two requests to one upload: one writes, the other is told", async () => {
  const location = await begin("twice");
  const path = new URL(location, registry.address).pathname;
  const socket = await connected();
  socket.write(`PATCH ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello`);
  await until(async () => (await must(registry.call("GET", location), 204)).headers.get("range") === "0-4");
  await must(registry.call("PATCH", location, { body: "x" }), 409);
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once("data", (data) => resolve(data.toString()));
  socket.write("world");
  expect(await promise).toStartWith("HTTP/1.1 202");
  socket.destroy();
  await must(registry.call("PUT", `${location}?digest=${digestOf("helloworld")}`), 201);
});

test("many uploads of the same bytes at once, some of them under a wrong digest: one blob, whole", async () => {
  const text = "the same bytes ".repeat(20_000);
  const [right, wrong] = [digestOf(text), digestOf("others")];
  const answers = await Promise.all(
    Array.from({ length: 24 }, async (_, index) => {
      const location = await begin(`crowd/${index % 3}`);
      return (await registry.call("PUT", `${location}?digest=${index % 4 === 3 ? wrong : right}`, { body: text })).status;
    }),
  );
  expect(answers).toEqual(Array.from({ length: 24 }, (_, index) => (index % 4 === 3 ? 400 : 201)));
  for (const n of [0, 1, 2]) {
    expect(digestOf(await (await registry.call("GET", `/v2/crowd/${n}/blobs/${right}`)).bytes())).toBe(right);
    await must(registry.call("HEAD", `/v2/crowd/${n}/blobs/${wrong}`), 404);
  }
});

test("a registry that is closed in the middle of an upload goes on with it when it is opened again", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-closed-"));
  let location: string;
  {
    await using first = await openTestRegistry({}, folder);
    location = (await first.call("POST", "/v2/x/blobs/uploads/")).headers.get("location") ?? "";
    await must(first.call("PATCH", location, { body: "half " }), 202);
  }
  await using second = await openTestRegistry({}, folder);
  expect((await must(second.call("GET", location), 204)).headers.get("range")).toBe("0-4");
  await must(second.call("PUT", `${location}?digest=${digestOf("half and half")}`, { body: "and half" }), 201);
  await rm(folder, { recursive: true });
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 3000; tries++) {
    if (await holds()) return;
    await Bun.sleep(10);
  }
  throw new Error("it never came about");
}
