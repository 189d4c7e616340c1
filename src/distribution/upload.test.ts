import { expect, test } from "bun:test";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { LighterError, messageOf } from "../base/errors.ts";
import { parseReference } from "../base/reference.ts";
import { digestOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import type { Repository } from "./distribution.ts";
import { openDistribution } from "./open.ts";

/** A registry that takes uploads, and what goes wrong with it. */
interface Taking extends AsyncDisposable {
  host: string;
  log: string[];
  blobs: Map<string, Buffer>;
  /** Answers or breaks in place of the registry where it returns true. `part` is what of the body has come. */
  fault: (request: IncomingMessage, response: ServerResponse, upload: { part: Buffer[] } | undefined) => boolean;
  location: (id: string) => string;
  /** Blobs of other repositories that it mounts: `repository@digest`. */
  mounts: Set<string>;
  sessions: Map<string, { part: Buffer[] }>;
}

async function takingRegistry(): Promise<Taking> {
  const registry: Taking = {
    host: "",
    log: [],
    blobs: new Map(),
    fault: () => false,
    location: (id) => `/v2/x/blobs/uploads/${id}?state=1`,
    mounts: new Set(),
    sessions: new Map(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const server = createServer((request, response) => take(registry, request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  registry.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return registry;
}

function take(registry: Taking, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://registry");
  const method = request.method ?? "";
  registry.log.push(
    `${method} ${url.pathname}${request.headers["content-range"] === undefined ? "" : ` ${request.headers["content-range"]}`}`,
  );
  const id = /^\/v2\/x\/blobs\/uploads\/(\w+)$/.exec(url.pathname)?.[1];
  const upload = id === undefined ? undefined : registry.sessions.get(id);
  request.on("error", () => undefined);
  if (registry.fault(request, response, upload)) return;
  const range = (of: { part: Buffer[] }): string => `0-${Math.max(0, length(of) - 1)}`;
  if (url.pathname === "/v2/") response.writeHead(200).end("{}");
  else if (method === "HEAD") response.writeHead(registry.blobs.has(url.pathname.split("/").at(-1) ?? "") ? 200 : 404).end();
  else if (method === "POST") {
    if (registry.mounts.has(`${url.searchParams.get("from")}@${url.searchParams.get("mount")}`)) return void response.writeHead(201).end();
    const fresh = `u${registry.sessions.size}`;
    registry.sessions.set(fresh, { part: [] });
    response.writeHead(202, { location: registry.location(fresh), range: "0-0" }).end();
  } else if (id === undefined || upload === undefined) response.writeHead(404).end('{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}');
  else if (method === "GET") response.writeHead(204, { location: registry.location(id), range: range(upload) }).end();
  else if (method === "DELETE") {
    registry.sessions.set(id, { part: [] });
    response.writeHead(204).end();
  } else {
    request.on("data", (piece: Buffer) => void upload.part.push(piece));
    request.on("end", () => {
      if (method === "PATCH") return void response.writeHead(202, { location: registry.location(id), range: range(upload) }).end();
      const bytes = Buffer.concat(upload.part);
      if (digestOf(bytes) !== url.searchParams.get("digest"))
        return void response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID","message":"wrong"}]}');
      registry.blobs.set(digestOf(bytes), bytes);
      response.writeHead(201).end();
    });
  }
}

function length({ part }: { part: Buffer[] }): number {
  return part.reduce((sum, piece) => sum + piece.length, 0);
}

function repositoryOf(registry: Taking): Repository {
  const distribution = openDistribution({ insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "test" });
  return distribution.repository(parseReference(`${registry.host}/x`), { push: true })[0] as Repository;
}

const BYTES = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)))
  .toString("hex")
  .repeat(3);
const BLOB = Buffer.from(BYTES);
const DIGEST: Digest = digestOf(BLOB);

function upload(registry: Taking, more: { mountFrom?: string[]; mounted?: (from: string) => void; bytes?: Buffer } = {}): Promise<string> {
  const { bytes = BLOB, ...options } = more;
  const open = (offset: number): ReadableStream<Uint8Array> => new Blob([bytes.subarray(offset)]).stream();
  return repositoryOf(registry).upload({ digest: digestOf(bytes), size: bytes.length, open, ...options });
}

/** Fails the requests of a method, the first `times`, in a way. */
function failing(method: string, times: number, how: (request: IncomingMessage, response: ServerResponse) => void): Taking["fault"] {
  let left = times;
  return (request, response) => {
    if (request.method !== method || (request.url ?? "").endsWith("/v2/") || left-- <= 0) return false;
    how(request, response);
    return true;
  };
}

function refusing(status: number, headers: Record<string, string> = {}): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(status, headers).end());
  };
}

test.each([
  ["a path", (id: string) => `/v2/x/blobs/uploads/${id}`],
  ["a path with a query", (id: string) => `/v2/x/blobs/uploads/${id}?_state=a%2Bb&n=1`],
  ["relative to the request", (id: string) => `../uploads/${id}`],
])("a Location that is %s", async (_, location) => {
  await using registry = await takingRegistry();
  registry.location = location;
  expect(await upload(registry)).toBe("uploaded");
  expect(registry.blobs.get(DIGEST)?.equals(BLOB)).toBe(true);
});

test("a Location that is a whole URL", async () => {
  await using registry = await takingRegistry();
  registry.location = (id) => `http://${registry.host}/v2/x/blobs/uploads/${id}?a=b`;
  expect(await upload(registry)).toBe("uploaded");
});

test.each(["file:///etc/hostname", "data:text/plain,x", "s3://bucket/key"])(
  "a Location that is no address of the network is refused: %s",
  async (place) => {
    await using registry = await takingRegistry();
    registry.location = () => place;
    const error = await upload(registry).catch((thrown: unknown) => thrown);
    expect(messageOf(error)).toMatch(/^Cannot send to "(file|data|s3):[^"]*": it is neither HTTP nor HTTPS$/);
  },
);

test.each([1, 5])("connections that break in the middle, %d times: what arrived is not sent again", async (times) => {
  await using registry = await takingRegistry();
  let left = times;
  let received = 0;
  registry.fault = (request, _response, session) => {
    if (request.method !== "PATCH" || session === undefined) return false;
    let now = 0;
    request.on("data", (piece: Buffer) => {
      received += piece.length;
      now += piece.length;
      if (left <= 0 || now < 20_000) return;
      left--;
      // What came before the break is kept, as registries do.
      queueMicrotask(() => request.socket.destroy());
    });
    return false;
  };
  expect(await upload(registry)).toBe("uploaded");
  expect(registry.blobs.get(DIGEST)?.equals(BLOB)).toBe(true);
  expect(received).toBe(BLOB.length);
  expect(registry.log.filter((line) => line.startsWith("POST"))).toHaveLength(1);
});

test("a session that is lost begins anew", async () => {
  await using registry = await takingRegistry();
  registry.fault = failing("PATCH", 2, (request, response) => {
    registry.sessions.delete(/uploads\/(\w+)/.exec(request.url ?? "")?.[1] ?? "");
    refusing(404)(request, response);
  });
  expect(await upload(registry)).toBe("uploaded");
  expect(registry.log.filter((line) => line.startsWith("POST"))).toHaveLength(3);
});

test.each([500, 502, 503, 429])("a registry that answers %d for a while", async (status) => {
  await using registry = await takingRegistry();
  registry.fault = failing("PATCH", 2, refusing(status, { "retry-after": "0" }));
  expect(await upload(registry)).toBe("uploaded");
});

test("one that answers 500 for ever is told so", async () => {
  await using registry = await takingRegistry();
  registry.fault = failing("PATCH", 1e9, refusing(500, { "retry-after": "0" }));
  const error = await upload(registry).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(LighterError);
  expect((error as LighterError).message).toBe("received unexpected HTTP status: 500");
});

test("a registry without PATCH gets all of it in one PUT", async () => {
  await using registry = await takingRegistry();
  registry.fault = failing("PATCH", 1e9, refusing(405));
  expect(await upload(registry)).toBe("uploaded");
  expect(registry.blobs.get(DIGEST)?.equals(BLOB)).toBe(true);
});

test("requests that are too large become smaller ones", async () => {
  await using registry = await takingRegistry();
  const bytes = Buffer.alloc(70 << 20, "lighter ");
  registry.fault = (request, response) => {
    if (request.method !== "PATCH" || Number(request.headers["content-length"]) <= 40 << 20) return false;
    refusing(413)(request, response);
    return true;
  };
  expect(await upload(registry, { bytes })).toBe("uploaded");
  expect(registry.log.filter((line) => line.startsWith("PATCH")).map((line) => line.split(" ")[2])).toEqual([
    undefined,
    "0-33554431",
    "33554432-67108863",
    "67108864-73400319",
  ]);
});

test("an answer that was lost after all of it arrived: the blob is found", async () => {
  await using registry = await takingRegistry();
  registry.fault = failing("PUT", 1, (request) => {
    registry.blobs.set(DIGEST, BLOB);
    registry.sessions.clear();
    request.socket.destroy();
  });
  expect(await upload(registry)).toBe("exists");
});

test("content that was spoilt on the way is sent once more from the start", async () => {
  await using registry = await takingRegistry();
  let spoilt = false;
  registry.fault = (request, _response, session) => {
    if (spoilt || request.method !== "PATCH" || session === undefined) return false;
    spoilt = true;
    session.part.push(Buffer.from("garbage"));
    request.socket.destroy();
    return true;
  };
  expect(await upload(registry)).toBe("uploaded");
  expect(registry.blobs.get(DIGEST)?.equals(BLOB)).toBe(true);
});

test("content that is wrong from the start is an error", async () => {
  await using registry = await takingRegistry();
  const repository = repositoryOf(registry);
  const open = (): ReadableStream<Uint8Array> => new Blob([new Uint8Array(BLOB.length)]).stream();
  const error = await repository.upload({ digest: DIGEST, size: BLOB.length, open }).catch((cause: unknown) => cause);
  expect((error as LighterError).kind).toBe("invalid");
  expect(registry.blobs.size).toBe(0);
});

test("mounts are tried in order; what cannot be mounted is sent", async () => {
  await using registry = await takingRegistry();
  registry.mounts.add(`b@${DIGEST}`);
  let from = "";
  expect(await upload(registry, { mountFrom: ["a", "b"], mounted: (repository) => (from = repository) })).toBe("mounted");
  expect(from).toBe("b");
  registry.mounts.clear();
  expect(await upload(registry, { mountFrom: ["a", "b"] })).toBe("uploaded");
  registry.blobs.clear();
  registry.fault = failing("POST", 1, refusing(403));
  expect(await upload(registry, { mountFrom: ["secret"] })).toBe("uploaded");
});

test("an empty blob", async () => {
  await using registry = await takingRegistry();
  expect(await upload(registry, { bytes: Buffer.alloc(0) })).toBe("uploaded");
});

test("an upload that was cancelled is gone on with by the next push", async () => {
  await using registry = await takingRegistry();
  const repository = repositoryOf(registry);
  const abort = new AbortController();
  let received = 0;
  registry.fault = (request) => {
    if (request.method === "PATCH")
      request.on("data", (piece: Buffer) => {
        received += piece.length;
        if (received > 20_000) abort.abort();
      });
    return false;
  };
  const open = (offset: number): ReadableStream<Uint8Array> => new Blob([BLOB.subarray(offset)]).stream();
  const error = await repository.upload({ digest: DIGEST, size: BLOB.length, open, signal: abort.signal }).catch((cause: unknown) => cause);
  // All of it may have been under way already.
  if (error !== "uploaded") expect((error as LighterError).kind).toBe("cancelled");
  expect(await repository.upload({ digest: DIGEST, size: BLOB.length, open })).toMatch(/uploaded|exists/);
  expect(registry.blobs.get(DIGEST)?.equals(BLOB)).toBe(true);
  expect(registry.log.some((line) => line.startsWith("GET /v2/x/blobs/uploads/"))).toBe(error !== "uploaded");
});

/** Numbers in [0, 1) that a seed decides (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const SEED = Number(process.env["LIGHTER_TEST_SEED"] ?? 1);

test(`whatever a registry does by chance (seed ${SEED}), a blob is never wrong`, async () => {
  const random = randomOf(SEED);
  await using registry = await takingRegistry();
  registry.fault = (request, response, session) => {
    const method = request.method ?? "";
    if ((request.url ?? "") === "/v2/" || method === "HEAD" || random() > 0.35) return false;
    const kind = Math.floor(random() * 7);
    if (kind === 0) refusing(503, { "retry-after": "0" })(request, response);
    else if (kind === 1) refusing(416, { "retry-after": "0" })(request, response);
    else if (kind === 2) refusing(404, { "retry-after": "0" })(request, response);
    else if (kind === 3) request.socket.destroy();
    else if (kind === 4 && method === "GET") response.writeHead(204, { range: `0-${Math.floor(random() * BLOB.length * 1.2)}` }).end();
    else if (kind === 5 && method === "PATCH" && session !== undefined) {
      session.part.push(Buffer.from("x".repeat(Math.floor(random() * 10))));
      request.socket.destroy();
    } else if (kind === 6) refusing(429, { "retry-after": "0" })(request, response);
    else return false;
    return true;
  };
  const outcomes = await Promise.all(
    Array.from({ length: 24 }, async (_, number) => {
      const bytes = Buffer.concat([BLOB, Buffer.from(String(number))]);
      const outcome = await upload(registry, { bytes }).catch((error: unknown) => error);
      // Given up with a sentence, or there and right: the registry takes nothing of another digest.
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(LighterError);
      else expect(registry.blobs.get(digestOf(bytes))?.equals(bytes)).toBe(true);
      return typeof outcome;
    }),
  );
  expect(outcomes.filter((outcome) => outcome === "string").length).toBeGreaterThan(8);
}, 60_000);
