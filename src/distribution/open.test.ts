import { expect, test } from "bun:test";
import { createServer, type AddressInfo } from "node:net";
import { LighterError } from "../base/errors.ts";
import { parseReference } from "../base/reference.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { refusalOf } from "./answers.ts";
import type { Credentials, Repository } from "./distribution.ts";
import { hostileRegistry, type HostileRegistry } from "./hostile.suite.ts";
import { isNetworkFailure } from "./network-failure.ts";
import { openDistribution } from "./open.ts";

const options = { insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "lighter/test" };

function repositoryOf(registry: HostileRegistry, name = "x", credentials?: Credentials): Repository {
  const reference = parseReference(`${registry.host}/${name}`);
  const repository = openDistribution(options).repository(reference, credentials === undefined ? {} : { credentials })[0];
  if (repository === undefined) throw new Error("no repository");
  return repository;
}

async function failure(promise: Promise<unknown>): Promise<LighterError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LighterError);
  return error as LighterError;
}

test("a manifest by tag and by digest, over plain HTTP on loopback", async () => {
  await using registry = await hostileRegistry();
  const image = registry.addImage("x", "1", []);
  const repository = repositoryOf(registry);
  expect(await repository.resolve("1")).toEqual(image);
  expect((await repository.manifest(image.digest)).descriptor).toEqual(image);
  expect(registry.requests[0]?.path).toBe("/v2/");
  expect(registry.requests.at(-1)?.headers["user-agent"]).toBe("lighter/test");
});

test("the token flow: challenge, token, request; the token is asked for once", async () => {
  await using registry = await hostileRegistry({ token: { username: "me", password: "secret" } });
  registry.addImage("x", "1", []);
  const repository = repositoryOf(registry, "x", { username: "me", password: "secret" });
  await repository.manifest("1");
  await repository.manifest("1");
  const tokens = registry.requests.filter(({ path }) => path.startsWith("/token"));
  expect(tokens).toHaveLength(1);
  const asked = new URL(tokens[0]?.path ?? "", "http://x").searchParams;
  expect(asked.get("service")).toBe("hostile");
  expect(asked.get("scope")).toBe("repository:x:pull");
  expect(asked.get("account")).toBe("me");
});

test("a wrong password is unauthorized; login tells right from wrong and brings the identity token", async () => {
  await using registry = await hostileRegistry({ token: { username: "me", password: "secret" } });
  registry.addImage("x", "1", []);
  expect((await failure(repositoryOf(registry, "x", { username: "me", password: "no" }).manifest("1"))).kind).toBe("unauthorized");
  const distribution = openDistribution(options);
  expect((await failure(distribution.login(registry.host, { username: "me", password: "no" }))).kind).toBe("unauthorized");
  const done = await distribution.login(`http://${registry.host}/v1/`, { username: "me", password: "secret" });
  expect(done).toEqual({ status: "Login Succeeded", identityToken: "refresh" });
});

test("an identity token is exchanged for an access token, a registry token is used as it is", async () => {
  await using registry = await hostileRegistry({ token: {} });
  registry.addImage("x", "1", []);
  const bodies: string[] = [];
  registry.faults.intercept = (request, response, path) => {
    if (path !== "/token" || request.method !== "POST") return false;
    request.on("data", (piece: Buffer) => bodies.push(piece.toString()));
    request.on("end", () => response.writeHead(200).end(JSON.stringify({ access_token: "good" })));
    return true;
  };
  await repositoryOf(registry, "x", { identityToken: "refresh" }).manifest("1");
  const form = new URLSearchParams(bodies.join(""));
  expect(Object.fromEntries(form)).toEqual({
    grant_type: "refresh_token",
    client_id: "docker",
    refresh_token: "refresh",
    service: "hostile",
    scope: "repository:x:pull",
  });
  const before = registry.requests.length;
  await repositoryOf(registry, "x", { registryToken: "good" }).manifest("1");
  expect(registry.requests.slice(before).some(({ path }) => path.startsWith("/token"))).toBe(false);
});

test("a token server that sends rubbish, or is no place for a password, is refused", async () => {
  await using registry = await hostileRegistry({ token: {} });
  registry.faults.intercept = (_request, response, path) => {
    if (path !== "/token") return false;
    response.writeHead(200).end("<html>");
    return true;
  };
  expect((await failure(repositoryOf(registry).manifest("1"))).message).toContain("unable to decode token response");
  registry.faults.intercept = (_request, response, path) => {
    if (path === "/token") return false;
    response.writeHead(401, { "www-authenticate": 'Bearer realm="ftp://x"' }).end();
    return true;
  };
  expect((await failure(repositoryOf(registry).manifest("1"))).message).toContain('unable to parse realm "ftp://x"');
});

test("a token that has become bad is replaced once", async () => {
  await using registry = await hostileRegistry({ token: {} });
  registry.addImage("x", "1", []);
  const repository = repositoryOf(registry);
  await repository.manifest("1");
  let refused = false;
  registry.faults.intercept = (_request, response, path) => {
    if (refused || !path.includes("manifests")) return false;
    refused = true;
    response.writeHead(401, { "www-authenticate": `Bearer realm="http://${registry.host}/token",service="hostile"` }).end();
    return true;
  };
  await repository.manifest("1");
  expect(registry.requests.filter(({ path }) => path.startsWith("/token"))).toHaveLength(2);
});

test("basic authentication", async () => {
  await using registry = await hostileRegistry();
  registry.addImage("x", "1", []);
  registry.faults.intercept = (request, response) => {
    if (request.headers.authorization === `Basic ${btoa("me:secret")}`) return false;
    response.writeHead(401, { "www-authenticate": 'Basic realm="hostile"' }).end();
    return true;
  };
  await repositoryOf(registry, "x", { username: "me", password: "secret" }).manifest("1");
  expect((await failure(repositoryOf(registry).manifest("1"))).kind).toBe("unauthorized");
});

test("a redirect to another host does not get the credentials", async () => {
  await using storage = await hostileRegistry();
  await using registry = await hostileRegistry({ token: {}, redirectTo: "" });
  const bytes = new TextEncoder().encode("a blob");
  const blob = registry.addBlob(bytes);
  storage.faults.intercept = (_request, response) => {
    response.writeHead(200, { "content-length": bytes.length }).end(bytes);
    return true;
  };
  registry.faults.redirectTo = `http://localhost:${storage.host.split(":")[1]}`;
  const { body } = await repositoryOf(registry).blob(blob.digest);
  expect(await new Response(body).text()).toBe("a blob");
  expect(registry.requests.at(-1)?.headers.authorization).toBe("Bearer good");
  expect(storage.requests).toHaveLength(1);
  expect(storage.requests[0]?.headers.authorization).toBeUndefined();
});

test("redirects in circles end", async () => {
  await using registry = await hostileRegistry();
  const blob = registry.addBlob(new Uint8Array(3));
  registry.faults.redirectTo = `http://${registry.host}/v2/x/blobs`;
  expect((await failure(repositoryOf(registry).blob(blob.digest))).message).toContain("redirects");
});

test("429 waits for Retry-After, and is told when there is none", async () => {
  await using registry = await hostileRegistry();
  registry.addImage("x", "1", []);
  let left = 2;
  let headers: Record<string, string> = { "retry-after": "0" };
  registry.faults.intercept = (_request, response, path) => {
    if (path === "/v2/" || left-- <= 0) return false;
    response
      .writeHead(429, headers)
      .end(JSON.stringify({ errors: [{ code: "TOOMANYREQUESTS", message: "You have reached your pull rate limit." }] }));
    return true;
  };
  const repository = repositoryOf(registry);
  await repository.manifest("1");
  left = 9;
  headers = {};
  const error = await failure(repository.manifest("1"));
  expect(error.kind).toBe("too-many");
  expect(error.message).toBe("toomanyrequests: You have reached your pull rate limit.");
  expect(isNetworkFailure(error)).toBe(false);
});

test("a 503 is tried again, and told in the end", async () => {
  await using registry = await hostileRegistry();
  registry.addImage("x", "1", []);
  let left = 1;
  registry.faults.intercept = (_request, response, path) => {
    if (path === "/v2/" || left-- <= 0) return false;
    response.writeHead(503).end("<html>");
    return true;
  };
  const repository = repositoryOf(registry);
  await repository.manifest("1");
  left = 99;
  const error = await failure(repository.manifest("1"));
  expect(error.kind).toBe("unavailable");
  expect(error.message).toBe("received unexpected HTTP status: 503");
  expect(isNetworkFailure(error)).toBe(false);
});

test("Docker's texts for what is not there and what is denied", async () => {
  await using registry = await hostileRegistry();
  registry.addImage("x", "1", []);
  const repository = repositoryOf(registry);
  const missing = await failure(repository.manifest("nope"));
  expect(missing.kind).toBe("not-found");
  expect(missing.message).toBe(`manifest for ${registry.host}/x:nope not found: manifest unknown: manifest unknown`);
  expect(await repository.resolve("nope")).toBeUndefined();
  registry.faults.intercept = (_request, response, path) => {
    if (path === "/v2/") return false;
    response.writeHead(403).end(JSON.stringify({ errors: [{ code: "DENIED", message: "requested access to the resource is denied" }] }));
    return true;
  };
  const denied = await failure(repository.manifest("1"));
  expect(denied.kind).toBe("not-found");
  expect(denied.message).toBe(
    `pull access denied for ${registry.host}/x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
  );
});

test("a token for less than this, and no password where one is wanted, in Docker's words", async () => {
  await using registry = await hostileRegistry();
  let challenge = 'Bearer realm="https://auth.test/token",service="x",scope="repository:x:pull",error="insufficient_scope"';
  registry.faults.intercept = (_request, response, path) => {
    if (path === "/v2/") return false;
    const body = JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] });
    response.writeHead(401, { "www-authenticate": challenge }).end(path.includes("/blobs/") ? "" : body);
    return true;
  };
  const attempt = { method: "HEAD", url: "https://x/v2/x/manifests/1", reference: parseReference(`${registry.host}/x:1`), push: false };
  const refused = async (more: object = {}): Promise<[string, string]> => {
    const { kind, message } = await refusalOf(await fetch(`http://${registry.host}/v2/x/manifests/1`), { ...attempt, ...more });
    return [kind, message];
  };
  const denied = "denied: requested access to the resource is denied";
  expect(await refused()).toEqual([
    "not-found",
    `pull access denied for ${registry.host}/x, repository does not exist or may require 'docker login': ${denied}`,
  ]);
  expect(await refused({ push: true })).toEqual(["unauthorized", denied]);
  challenge += ',error_description="ask Bob"';
  expect(await refused({ push: true })).toEqual(["unauthorized", "denied: ask Bob"]);
  challenge = 'Bearer realm="https://auth.test/token",error="invalid_token"';
  expect(await refused()).toEqual(["unauthorized", "unauthorized: authentication required"]);
  challenge = 'Basic realm="x"';
  expect(await refused()).toEqual(["unauthorized", "unauthorized: authentication required"]);
  expect(await refused({ anonymous: true })).toEqual(["unauthorized", 'Head "https://x/v2/x/manifests/1": no basic auth credentials']);
  expect(await refused({ anonymous: true, push: true })).toEqual(["unauthorized", "no basic auth credentials"]);
});

test.each([
  ["HTML", "<html>hello</html>", MEDIA.ociManifest],
  ["a number", "42", MEDIA.ociManifest],
  ["an index that calls itself a manifest", JSON.stringify({ schemaVersion: 2, manifests: [] }), MEDIA.ociManifest],
  ["bytes that are no text", "\u00ff\u00fe", MEDIA.ociManifest],
  ["nothing", "", MEDIA.ociManifest],
  ["an unknown kind", JSON.stringify({ schemaVersion: 2 }), "text/plain"],
])("a manifest that is %s is refused", async (_, body, type) => {
  await using registry = await hostileRegistry();
  registry.faults.intercept = (_request, response, path) => {
    if (path === "/v2/") return false;
    response.writeHead(200, { "content-type": type }).end(Buffer.from(body, "latin1"));
    return true;
  };
  expect((await failure(repositoryOf(registry).manifest("1"))).kind).toBe("invalid");
});

test("schema 1 is refused with Docker's text", async () => {
  await using registry = await hostileRegistry();
  registry.addManifest("x", "old", { schemaVersion: 1, name: "x" }, MEDIA.dockerSchema1Signed);
  const error = await failure(repositoryOf(registry).manifest("old"));
  expect(error.kind).toBe("invalid");
  expect(error.message).toContain(`schema 1 support has been removed. Suggest the author of ${registry.host}/x:latest to upgrade`);
});

test("a manifest with another digest than asked for is refused", async () => {
  await using registry = await hostileRegistry();
  const wrong = digestOf("something else");
  registry.addManifest("x", wrong, { schemaVersion: 2, config: {}, layers: [] });
  const error = await failure(repositoryOf(registry).manifest(wrong));
  expect(error.kind).toBe("invalid");
  expect(error.message).toContain(`manifest verification failed for digest ${wrong}`);
});

test("blobs: ranges, and registries without them", async () => {
  await using registry = await hostileRegistry();
  const bytes = crypto.getRandomValues(new Uint8Array(10_000));
  const blob = registry.addBlob(bytes);
  const repository = repositoryOf(registry);
  const part = await repository.blob(blob.digest, { offset: 4000 });
  expect({ offset: part.offset, size: part.size }).toEqual({ offset: 4000, size: 10_000 });
  expect(Buffer.from(await new Response(part.body).bytes()).equals(bytes.subarray(4000))).toBe(true);
  registry.faults.noRanges = true;
  const whole = await repository.blob(blob.digest, { offset: 4000 });
  expect(whole.offset).toBe(0);
  await whole.body.cancel();
  expect(await repository.hasBlob(blob.digest)).toBe(true);
  expect(await repository.hasBlob(digestOf("nope"))).toBe(false);
});

test("tags over several pages", async () => {
  await using registry = await hostileRegistry();
  registry.faults.intercept = (request, response, path) => {
    if (!path.endsWith("/tags/list")) return false;
    const second = request.url?.includes("last=b") === true;
    const link = second ? {} : { link: `</v2/x/tags/list?n=2&last=b>; rel="next"` };
    response.writeHead(200, link).end(JSON.stringify({ name: "x", tags: second ? ["c"] : ["a", "b"] }));
    return true;
  };
  expect(await repositoryOf(registry).tags()).toEqual(["a", "b", "c"]);
});

test("nobody listens, nobody answers, nonsense is answered: network failures in Docker's words, at once", async () => {
  const refused = await failure(
    openDistribution(options).repository(parseReference("127.0.0.1:1/x"), {})[0]?.manifest("1") ?? Promise.resolve(),
  );
  expect(refused.kind).toBe("unavailable");
  expect(refused.message).toBe('Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused');
  expect(isNetworkFailure(refused)).toBe(true);

  const mute = createServer(() => undefined).listen(0, "127.0.0.1");
  const garbage = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end("garbage\r\n\r\n"));
  }).listen(0, "127.0.0.1");
  const portOf = (server: typeof mute): number => (server.address() as AddressInfo).port;
  await Bun.sleep(5);
  const silent = openDistribution(options).repository(parseReference("silent.invalid/x"), {
    host: { url: `http://127.0.0.1:${portOf(mute)}`, insecure: true },
  })[0];
  const late = await failure(silent?.ping({ timeout: 100 }) ?? Promise.resolve());
  expect(late.message).toContain("Client.Timeout exceeded while awaiting headers");
  expect(isNetworkFailure(late)).toBe(true);
  const broken = openDistribution(options).repository(parseReference(`127.0.0.1:${portOf(garbage)}/x`), {})[0];
  expect(isNetworkFailure(await failure(broken?.ping() ?? Promise.resolve()))).toBe(true);
  mute.close();
  garbage.close();
});

test("a cancel ends a request that waits", async () => {
  await using registry = await hostileRegistry({ intercept: (_request, _response, path) => path !== "/v2/" });
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 50);
  expect((await failure(repositoryOf(registry).manifest("1", { signal: abort.signal }))).kind).toBe("cancelled");
});

test("mirrors of docker.io come first and get no credentials; a push goes to the registry itself", () => {
  const distribution = openDistribution({ ...options, registryMirrors: ["http://mirror.invalid:5000/"] });
  const reference = parseReference("ubuntu");
  expect(distribution.repository(reference, {}).map((each) => each.host.url)).toEqual([
    "http://mirror.invalid:5000",
    "https://registry-1.docker.io",
  ]);
  expect(distribution.repository(reference, { push: true }).map((each) => each.host.url)).toEqual(["https://registry-1.docker.io"]);
});

test("an upload that breaks goes on from where the registry says it is", async () => {
  await using registry = await hostileRegistry();
  const bytes = crypto.getRandomValues(new Uint8Array(300_000));
  const parts: Buffer[] = [];
  let broken = false;
  registry.faults.intercept = (request, response, path) => {
    const have = (): number => parts.reduce((sum, part) => sum + part.length, 0);
    const range = (): Record<string, string> => ({ location: "/v2/x/blobs/uploads/1?state=a", range: `0-${Math.max(0, have() - 1)}` });
    if (!path.startsWith("/v2/x/blobs")) return false;
    const status = { HEAD: 404, POST: 202, GET: 204, PUT: 201 }[request.method ?? ""];
    if (status !== undefined) {
      response.writeHead(status, range()).end();
      return true;
    }
    request.on("data", (piece: Buffer) => {
      parts.push(piece);
      if (broken || have() < 50_000) return;
      broken = true;
      request.socket.destroy();
    });
    request.on("end", () => response.writeHead(202, range()).end());
    return true;
  };
  const reference = parseReference(`${registry.host}/x`);
  const repository = openDistribution(options).repository(reference, { push: true })[0];
  const open = (offset: number): ReadableStream<Uint8Array> => new Blob([bytes.subarray(offset)]).stream();
  expect(await repository?.upload({ digest: digestOf(bytes), size: bytes.length, open })).toBe("uploaded");
  expect(Buffer.concat(parts).equals(bytes)).toBe(true);
  expect(registry.requests.find(({ method }) => method === "PUT")?.path).toContain("state=a&digest=sha256%3A");
});
