import { expect, test } from "bun:test";
import { LighterError } from "../base/errors.ts";
import { parseReference } from "../base/reference.ts";
import { MEDIA } from "../oci/image.ts";
import { readAtMost } from "./answers.ts";
import type { Credentials, DistributionOptions, Repository } from "./distribution.ts";
import { hostileRegistry, type HostileRegistry } from "./hostile.suite.ts";
import { openDistribution } from "./open.ts";

const options: DistributionOptions = { insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "lighter/test" };

function repositoryOf(registry: HostileRegistry, credentials?: Credentials): Repository {
  const reference = parseReference(`${registry.host}/x`);
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

function tokensOf(registry: HostileRegistry): HostileRegistry["requests"] {
  return registry.requests.filter(({ path }) => path.startsWith("/token"));
}

test("429 with a date waits until then; one of tomorrow is not waited for", async () => {
  await using registry = await hostileRegistry();
  registry.addImage("x", "1", []);
  let dates = [new Date(Date.now() - 1000)];
  registry.faults.intercept = (_request, response, path) => {
    const date = path === "/v2/" ? undefined : dates.shift();
    if (date === undefined) return false;
    response.writeHead(429, { "retry-after": date.toUTCString() }).end();
    return true;
  };
  await repositoryOf(registry).manifest("1");
  dates = [new Date(Date.now() + 86_400_000)];
  expect((await failure(repositoryOf(registry).manifest("1"))).kind).toBe("too-many");
});

test("a token server that stumbles is asked again", async () => {
  await using registry = await hostileRegistry({ token: {} });
  registry.addImage("x", "1", []);
  let left = 2;
  registry.faults.intercept = (request, response, path) => {
    if (path !== "/token" || left-- <= 0) return false;
    if (left === 1) response.writeHead(503).end();
    else request.socket.destroy();
    return true;
  };
  await repositoryOf(registry).manifest("1");
  expect(tokensOf(registry)).toHaveLength(3);
});

test("a token server of OAuth2 alone gets the password by POST", async () => {
  await using registry = await hostileRegistry({ token: {} });
  registry.addImage("x", "1", []);
  const bodies: string[] = [];
  registry.faults.intercept = (request, response, path) => {
    if (path !== "/token") return false;
    if (request.method === "GET") response.writeHead(405).end();
    else {
      request.on("data", (piece: Buffer) => bodies.push(piece.toString()));
      request.on("end", () => response.writeHead(200).end(JSON.stringify({ access_token: "good" })));
    }
    return true;
  };
  await repositoryOf(registry, { username: "me", password: "secret" }).manifest("1");
  expect(Object.fromEntries(new URLSearchParams(bodies.join("")))).toMatchObject({
    grant_type: "password",
    username: "me",
    password: "secret",
    scope: "repository:x:pull",
  });
});

test("many requests at once ask for one token; one that has ended is replaced", async () => {
  await using registry = await hostileRegistry({ token: {} });
  registry.addImage("x", "1", []);
  let life = 300;
  registry.faults.intercept = (_request, response, path) => {
    if (path !== "/token") return false;
    response.writeHead(200).end(JSON.stringify({ token: "good", expires_in: life }));
    return true;
  };
  const repository = repositoryOf(registry);
  await Promise.all(Array.from({ length: 8 }, () => repository.manifest("1")));
  expect(tokensOf(registry)).toHaveLength(1);
  life = 0.01;
  const short = repositoryOf(registry);
  for (const _ of [1, 2]) {
    await short.manifest("1");
    await Bun.sleep(20);
  }
  expect(tokensOf(registry)).toHaveLength(3);
});

test("a manifest whose connection breaks in the middle is asked for again", async () => {
  await using registry = await hostileRegistry();
  const image = registry.addImage("x", "1", []);
  let left = 2;
  registry.faults.intercept = (_request, response, path) => {
    if (!path.includes("manifests") || left-- <= 0) return false;
    response.writeHead(200, { "content-type": MEDIA.ociManifest, "content-length": 5000 });
    response.write("{", () => setTimeout(() => response.socket?.destroy(), 5));
    return true;
  };
  expect((await repositoryOf(registry).manifest("1")).descriptor).toEqual(image);
  left = 9;
  const error = await failure(repositoryOf(registry).manifest("1"));
  expect(error.kind).toBe("unavailable");
  expect(error.message).toContain(`/v2/x/manifests/1": unexpected EOF`);
});

test("a manifest without an end is read as far as a manifest may go", async () => {
  await using registry = await hostileRegistry();
  let sent = 0;
  registry.faults.intercept = (_request, response, path) => {
    if (!path.includes("manifests")) return false;
    response.writeHead(200, { "content-type": MEDIA.ociManifest });
    const piece = Buffer.alloc(1 << 18, " ");
    const more = (): void => {
      if (response.destroyed || sent > 64 << 20) return void response.end();
      sent += piece.length;
      response.write(piece, () => setImmediate(more));
    };
    more();
    return true;
  };
  const error = await failure(repositoryOf(registry).manifest("1"));
  expect(error.kind).toBe("invalid");
  expect(error.message).toContain("is larger than 4194304 bytes");
  expect(sent).toBeLessThan(64 << 20);
});

test("a document that drips is not waited for", async () => {
  await using registry = await hostileRegistry();
  registry.faults.intercept = (_request, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write("x"), 5);
    response.on("close", () => clearInterval(drip));
    return true;
  };
  const error = await failure(readAtMost(await fetch(`http://${registry.host}/slow`), 1 << 20, { timeout: 100 }));
  expect(error.kind).toBe("unavailable");
  expect(error.message).toBe(`Get "http://${registry.host}/slow": the registry sends too slowly`);
});

test("who stands at the end of a redirect gets no token and no password, whatever it asks for", async () => {
  await using storage = await hostileRegistry();
  await using registry = await hostileRegistry({ redirectTo: "" });
  const blob = registry.addBlob(new Uint8Array(3));
  storage.faults.intercept = (_request, response) => {
    response.writeHead(401, { "www-authenticate": `Bearer realm="http://${storage.host}/token",service="thief"` }).end();
    return true;
  };
  registry.faults.redirectTo = `http://localhost:${storage.host.split(":")[1]}`;
  const error = await failure(repositoryOf(registry, { username: "me", password: "secret" }).blob(blob.digest));
  expect(error.kind).toBe("unauthorized");
  expect(tokensOf(storage)).toEqual([]);
  expect(storage.requests.some(({ headers }) => headers.authorization !== undefined)).toBe(false);
});

test("a mirror's own headers and password stay with it; ns says which registry is meant; a path of its own", async () => {
  await using storage = await hostileRegistry();
  await using mirror = await hostileRegistry();
  const blob = mirror.addBlob(new Uint8Array(3));
  storage.faults.intercept = (_request, response) => {
    response.writeHead(200).end("abc");
    return true;
  };
  mirror.faults.intercept = (request, response, path) => {
    if (request.headers.authorization === undefined) response.writeHead(401, { "www-authenticate": 'Basic realm="m"' }).end();
    else if (path === "/cache/") response.writeHead(200).end();
    else response.writeHead(307, { location: `http://localhost:${storage.host.split(":")[1]}/blob` }).end();
    return true;
  };
  const host = {
    url: `http://${mirror.host}/cache`,
    insecure: true,
    mirror: true,
    namespace: "ghcr.io",
    overridePath: true,
    headers: { "x-secret": "1" },
    credentials: { username: "own", password: "pass" },
  };
  const repository = openDistribution(options).repository(parseReference("ghcr.io/x"), { host })[0];
  const { body } = (await repository?.blob(blob.digest)) ?? {};
  expect(await new Response(body ?? null).text()).toBe("abc");
  expect(mirror.requests.at(-1)).toMatchObject({
    path: `/cache/x/blobs/${blob.digest}?ns=ghcr.io`,
    headers: { "x-secret": "1", authorization: `Basic ${btoa("own:pass")}` },
  });
  expect(storage.requests[0]?.headers["x-secret"]).toBeUndefined();
  expect(storage.requests[0]?.headers.authorization).toBeUndefined();
});

test("a mirror that fails is left out of the next list, and the registry itself never", async () => {
  await using registry = await hostileRegistry();
  const image = registry.addImage("x", "1", []);
  const mirrors = { [registry.host]: ["http://127.0.0.1:1", "http://127.0.0.1:2"] };
  const distribution = openDistribution({ ...options, mirrors });
  const list = (): Repository[] => distribution.repository(parseReference(`${registry.host}/x`), {});
  expect(list().map(({ host }) => host.url)).toEqual(["http://127.0.0.1:1", "http://127.0.0.1:2", `https://${registry.host}`]);
  await failure(list()[0]?.manifest("1") ?? Promise.resolve());
  list()[0]?.distrust("it lies");
  expect(list().map(({ host }) => host.url)).toEqual([`https://${registry.host}`]);
  list()[0]?.distrust("it lies, too");
  expect((await list()[0]?.manifest("1"))?.descriptor).toEqual(image);
  expect(distribution.addresses(registry.host).map(({ failure: told }) => told?.reason)).toEqual([
    expect.stringContaining("connection refused"),
    "it lies",
    undefined,
  ]);
  distribution.configure({ ...options, mirrors, limits: { downloads: 9 } });
  expect(list()).toHaveLength(3);
  expect(distribution.limits).toEqual({ downloads: 9, uploads: 5, attempts: 5 });
});

test("a mirror may have other names for repositories: the scope that it names is asked for, too", async () => {
  await using registry = await hostileRegistry();
  const image = registry.addImage("x", "1", []);
  registry.faults.intercept = (request, response, path) => {
    if (path === "/token") response.writeHead(200).end(JSON.stringify({ token: new URL(request.url ?? "", "http://x").search }));
    else if (path.includes("manifests") && !(request.headers.authorization ?? "").includes("repository%3Aghcr.io%2Fx%3Apull")) {
      const challenge = `Bearer realm="http://${registry.host}/token",scope="repository:ghcr.io/x:pull"`;
      response.writeHead(401, { "www-authenticate": challenge }).end();
    } else return false;
    return true;
  };
  const host = { url: `http://${registry.host}`, insecure: true, mirror: true, namespace: "ghcr.io" };
  const repository = openDistribution(options).repository(parseReference("ghcr.io/x"), { host })[0];
  expect((await repository?.manifest("1"))?.descriptor).toEqual(image);
  expect(tokensOf(registry).map(({ path }) => new URL(path, "http://x").searchParams.getAll("scope"))).toEqual([
    ["repository:x:pull", "repository:ghcr.io/x:pull"],
  ]);
});
