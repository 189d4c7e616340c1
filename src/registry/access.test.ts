import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPrivateKey, generateKeyPairSync, X509Certificate, type KeyObject } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT, type JWTPayload } from "jose";
import { openContent } from "../content/open.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { DEFAULT_REGISTRY, parseRegistryConfig, type TokenServer } from "./config.ts";
import { PasswordFile, parsePasswords } from "./htpasswd.ts";
import { keyIds } from "./key-ids.ts";
import { openRegistry } from "./open.ts";
import { makeCertificate } from "./own-certificate.ts";
import { RateLimit } from "./rate-limit.ts";
import { parseRights, readRights } from "./rights.ts";
import { REGISTRY_ROOTS } from "./rows.ts";
import { shippedImages } from "./shipped.ts";
import { codesOf, must, openTestRegistry, type TestRegistry } from "./spec-fixture.ts";

let folder: string;
let htpasswd: string;
let rights: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lighter-access-"));
  htpasswd = join(folder, "users");
  rights = join(folder, "rights");
  // As "htpasswd -B" writes them: $2y$.
  const hash = (password: string): string => Bun.password.hashSync(password, { algorithm: "bcrypt", cost: 4 }).replace("$2b$", "$2y$");
  await Bun.write(htpasswd, `# users\nalice:${hash("secret")}\nbob:${hash("builder: with a colon")}\n`);
  await Bun.write(rights, "group devs = bob\nanonymous public/** pull\nalice ** *\n@devs team/* push # and pull\n");
});
afterAll(async () => await rm(folder, { recursive: true }));

function basic(user: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}
const alice = (): Record<string, string> => basic("alice", "secret");
const bob = (): Record<string, string> => basic("bob", "builder: with a colon");

describe("password file", () => {
  test("bcrypt under each of its names; what is not bcrypt, and what is no line, is told", async () => {
    const file = await PasswordFile.open(htpasswd);
    expect(await file.verify("alice", "secret")).toBe(true);
    expect(await file.verify("alice", "secret")).toBe(true);
    expect(await file.verify("alice", "Secret")).toBe(false);
    expect(await file.verify("carol", "secret")).toBe(false);
    expect(await file.verify("bob", "builder: with a colon")).toBe(true);
    expect(() => parsePasswords("a:$apr1$abc$def", "f")).toThrow('Cannot use "f": the password of "a" is not bcrypt\'s');
    expect(() => parsePasswords("\nnonsense", "f")).toThrow('Cannot use "f": line 2 is not USER:HASH');
    await expect(PasswordFile.open(join(folder, "none"))).rejects.toThrow("Cannot read");
  });

  test("a file that changes is read again, and what was remembered is forgotten with it", async () => {
    const path = join(folder, "changing");
    const write = async (password: string): Promise<unknown> =>
      Bun.write(path, `x:${await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 })}\n${" ".repeat(password.length)}`);
    await write("one");
    const file = await PasswordFile.open(path);
    const seal = await file.seal("x");
    expect(await file.verify("x", "one")).toBe(true);
    await write("second");
    expect(await file.verify("x", "one")).toBe(false);
    expect(await file.verify("x", "second")).toBe(true);
    expect(await file.seal("x")).not.toBe(seal);
  });
});

test("passwords are cut where bcrypt cuts them, as htpasswd does", async () => {
  const path = join(folder, "long");
  await Bun.write(path, `x:${await Bun.password.hash("a".repeat(72), { algorithm: "bcrypt", cost: 4 })}\n`);
  const file = await PasswordFile.open(path);
  expect([await file.verify("x", "a".repeat(72)), await file.verify("x", "a".repeat(90)), await file.verify("x", "a".repeat(71))]).toEqual([
    true,
    true,
    false,
  ]);
});

test("rights that change are read again; a file that is wrong for a moment changes nothing", async () => {
  const path = join(folder, "changing-rights");
  await Bun.write(path, "bob a pull\n");
  const changing = await readRights(path);
  const now = async (): Promise<boolean[]> => {
    await changing.refresh?.();
    return [changing.may("bob", "a", "pull"), changing.may("bob", "b", "pull")];
  };
  expect(await now()).toEqual([true, false]);
  await Bun.write(path, "nonsense that is longer\n");
  expect(await now()).toEqual([true, false]);
  await Bun.write(path, "bob b pull # and no more\n");
  expect(await now()).toEqual([false, true]);
  await rm(path);
  expect(await now()).toEqual([false, true]);
});

test("rights: users, groups, all who signed in, everybody; patterns; push means pull", () => {
  const { may } = parseRights("group devs = bob\nanonymous public/** pull\nalice ** *\n@devs team/* push\n* shared/x pull,delete\n", "f");
  expect([may(undefined, "public/a/b", "pull"), may(undefined, "public/a", "push"), may(undefined, "team/x", "pull")]).toEqual([
    true,
    false,
    false,
  ]);
  expect([
    may("bob", "team/x", "push"),
    may("bob", "team/x", "pull"),
    may("bob", "team/x", "delete"),
    may("bob", "team/x/y", "pull"),
  ]).toEqual([true, true, false, false]);
  expect([may("bob", "public/a", "pull"), may("carol", "shared/x", "delete"), may("carol", "shared/x", "push")]).toEqual([
    true,
    true,
    false,
  ]);
  expect([may("alice", "any/thing/at/all", "delete"), may(undefined, "shared/x", "pull")]).toEqual([true, false]);
  expect(() => parseRights("a b", "f")).toThrow('Cannot use "f": line 1');
  expect(() => parseRights("a b fly", "f")).toThrow('"fly" is none of pull, push, delete and *');
  expect(() => parseRights("@none ** pull", "f")).toThrow('there is no group "none"');
});

test("settings: what is wrong is named", () => {
  expect(parseRegistryConfig({}, "f")).toEqual(DEFAULT_REGISTRY);
  expect(parseRegistryConfig({ addr: ":1", tls: false, "read-only": true, other: 1 }, "f")).toEqual({
    ...DEFAULT_REGISTRY,
    addresses: [":1"],
    plain: true,
    readOnly: true,
    rest: { other: 1 },
  });
  for (const [value, message] of [
    [[], '"registry" of the registry must be an object'],
    [{ addr: 5 }, '"addr" of the registry must be a string'],
    [{ tls: { certificate: "x" } }, 'unknown key "tls.certificate"'],
    [
      { auth: { tokens: { realm: "x", service: "y", issuer: "z" } } },
      '"auth.tokens" of the registry must be with "rootcertbundle" or "jwks"',
    ],
    [{ "rate-limit": { requests: 0, seconds: 1 } }, '"rate-limit" of the registry must be'],
    [{ "no-delete": "yes" }, '"no-delete" of the registry must be true or false'],
  ] as const) {
    expect(() => parseRegistryConfig(value, "f")).toThrow(message);
  }
});

test("a limit: so many at once, then as they come back", () => {
  const limit = new RateLimit({ requests: 3, seconds: 30 });
  const take = (at: number, name = "a"): number | undefined => limit.take(name, at)?.status;
  expect([take(0), take(0), take(0), take(0), take(0, "b"), take(9_000), take(10_001), take(10_002)]).toEqual([
    undefined,
    undefined,
    undefined,
    429,
    undefined,
    429,
    undefined,
    429,
  ]);
  expect(limit.take("a", 10_002)?.headers.get("retry-after")).toBe("10");
});

describe("name and password at every request", () => {
  let registry: TestRegistry;
  beforeAll(async () => void (registry = await openTestRegistry({ auth: { htpasswd, rights } })));
  afterAll(async () => await registry[Symbol.asyncDispose]());
  const status = async (method: string, path: string, headers: Record<string, string> = {}): Promise<number> =>
    (await registry.call(method, path, { headers })).status;

  test("401 with a challenge to who did not sign in, 403 to who may not, the rest as the rights say", async () => {
    const refused = await must(registry.call("GET", "/v2/"), 401);
    expect(refused.headers.get("www-authenticate")).toStartWith('Basic realm="');
    expect(await codesOf(refused)).toEqual(["UNAUTHORIZED"]);
    expect(await status("GET", "/v2/", alice())).toBe(200);
    expect(await status("GET", "/v2/", basic("alice", "wrong"))).toBe(401);
    expect(await status("GET", "/v2/", basic("nobody", "secret"))).toBe(401);
    expect(await status("GET", "/v2/", { authorization: "Basic !!!" })).toBe(401);
    expect(await status("GET", "/v2/public/x/tags/list")).toBe(404);
    expect(await status("POST", "/v2/public/x/blobs/uploads/")).toBe(401);
    expect(await status("GET", "/v2/team/x/tags/list")).toBe(401);
    expect(await status("POST", "/v2/team/x/blobs/uploads/", bob())).toBe(202);
    expect(await codesOf(await must(registry.call("POST", "/v2/other/blobs/uploads/", { headers: bob() }), 403))).toEqual(["DENIED"]);
    expect(await status("DELETE", "/v2/team/x/manifests/v1", bob())).toBe(403);
    expect(await status("DELETE", "/v2/team/x/manifests/v1", alice())).toBe(404);
    // Even where nothing of that name can be: nobody learns what is here by asking.
    expect(await status("GET", `/v2/secret/place/blobs/${digestOf("x")}`)).toBe(401);
  });

  test("nothing is mounted from where one may not pull; the catalog shows what one may pull", async () => {
    const digest = digestOf("hidden");
    const push = (repository: string): Promise<Response> =>
      registry.call("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { headers: alice(), body: "hidden" });
    await must(push("secret/a"), 201);
    for (const query of [`mount=${digest}&from=secret/a`, `mount=${digest}`])
      expect(await status("POST", `/v2/team/x/blobs/uploads/?${query}`, bob())).toBe(202);
    await must(push("team/y"), 201);
    await must(push("public/z"), 201);
    expect(await status("POST", `/v2/team/x/blobs/uploads/?mount=${digest}&from=team/y`, bob())).toBe(201);
    const seen = async (headers: Record<string, string>): Promise<unknown> =>
      (await registry.call("GET", "/v2/_catalog?n=50", { headers })).json();
    expect(await seen(bob())).toEqual({ repositories: ["public/z", "team/x", "team/y"] });
    expect(await seen(alice())).toEqual({ repositories: ["public/z", "secret/a", "team/x", "team/y"] });
    expect(await seen({})).toEqual({ repositories: ["public/z"] });
  });
});

describe("tokens of our own", () => {
  let registry: TestRegistry;
  beforeAll(async () => void (registry = await openTestRegistry({ auth: { htpasswd, rights, tokens: true } })));
  afterAll(async () => await registry[Symbol.asyncDispose]());
  interface Got {
    token: string;
    expires_in: number;
    refresh_token?: string;
  }
  const ask = (query: string, headers: Record<string, string> = {}): Promise<Response> =>
    registry.call("GET", `/token?service=lighter-registry&${query}`, { headers });
  const tokenFor = async (query: string, headers: Record<string, string> = {}): Promise<Record<string, string>> => {
    const { token } = (await (await must(ask(query, headers), 200)).json()) as Got;
    return { authorization: `Bearer ${token}` };
  };

  test("the challenge names the realm, the service and the scope", async () => {
    const { headers } = await must(registry.call("POST", "/v2/team/x/blobs/uploads/"), 401);
    expect(headers.get("www-authenticate")).toBe(
      `Bearer realm="${registry.address}/token",service="lighter-registry",scope="repository:team/x:pull,push"`,
    );
  });

  test("a token is good for what it was asked for and the rights allow", async () => {
    const push = await tokenFor("scope=repository:team/x:pull,push", bob());
    await must(registry.call("POST", "/v2/team/x/blobs/uploads/", { headers: push }), 202);
    const other = await must(registry.call("POST", "/v2/team/y/blobs/uploads/", { headers: push }), 401);
    expect(other.headers.get("www-authenticate")).toEndWith('scope="repository:team/y:pull,push",error="insufficient_scope"');
    await must(registry.call("DELETE", "/v2/team/x/manifests/v1", { headers: await tokenFor("scope=repository:team/x:*", bob()) }), 401);
    await must(registry.call("DELETE", "/v2/team/x/manifests/v1", { headers: await tokenFor("scope=repository:team/x:*", alice()) }), 404);
    await must(registry.call("GET", "/v2/public/x/tags/list", { headers: await tokenFor("scope=repository:public/x:pull") }), 404);
    await must(registry.call("GET", "/v2/team/x/tags/list", { headers: await tokenFor("scope=repository:team/x:pull") }), 401);
    const two = await tokenFor("scope=repository:team/a:pull,push&scope=repository:public/b:pull", bob());
    await must(registry.call("POST", `/v2/team/a/blobs/uploads/?mount=${digestOf("x")}&from=public/b`, { headers: two }), 202);
    await must(registry.call("GET", "/v2/", { headers: await tokenFor("", bob()) }), 200);
    await must(registry.call("GET", "/v2/_catalog", { headers: await tokenFor("scope=registry:catalog:*", bob()) }), 200);
    // What everybody may do needs no token, and a name with a password does without one.
    await must(registry.call("GET", "/v2/public/x/tags/list"), 404);
    await must(registry.call("POST", "/v2/team/x/blobs/uploads/", { headers: bob() }), 202);
  });

  test("wrong passwords and what is not our token get nothing", async () => {
    await must(ask("", basic("bob", "wrong")), 401);
    await must(ask("", { authorization: "Bearer x" }), 401);
    const forged = await new SignJWT({ use: "access", access: [{ type: "repository", name: "team/x", actions: ["pull"] }] })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer("lighter-registry")
      .setAudience("lighter-registry")
      .setSubject("alice")
      .sign(new TextEncoder().encode("key"));
    const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${forged.split(".")[1]}.`;
    for (const token of [forged, none, "x.y.z", ""]) {
      const refused = await must(registry.call("GET", "/v2/team/x/tags/list", { headers: { authorization: `Bearer ${token}` } }), 401);
      if (token !== "") expect(refused.headers.get("www-authenticate")).toContain('error="invalid_token"');
    }
  });

  test("a refresh token signs in until the password changes; it opens nothing itself", async () => {
    const { refresh_token: refresh = "" } = (await (await must(ask("offline_token=true", bob()), 200)).json()) as Got;
    await must(registry.call("GET", "/v2/", { headers: { authorization: `Bearer ${refresh}` } }), 401);
    const form = (fields: Record<string, string>): Promise<Response> =>
      registry.call("POST", "/token", {
        body: new URLSearchParams(fields).toString(),
        headers: { "content-type": "application/x-www-form-urlencoded" },
      });
    const scope = "repository:team/x:push repository:other:pull";
    const answer = await must(form({ grant_type: "refresh_token", refresh_token: refresh, service: "lighter-registry", scope }), 200);
    const { access_token: access, scope: got } = (await answer.json()) as { access_token: string; scope: string };
    expect(got).toBe("repository:team/x:push");
    await must(registry.call("GET", "/v2/", { headers: { authorization: `Bearer ${access}` } }), 200);
    await must(form({ grant_type: "password", username: "bob", password: "builder: with a colon" }), 200);
    await must(form({ grant_type: "password", username: "bob", password: "no" }), 401);
    await must(form({ grant_type: "refresh_token", refresh_token: access }), 401);
    await must(form({ grant_type: "refresh_token", refresh_token: "x" }), 401);
  });

  test("the key outlives the registry and is its owner's alone", async () => {
    const root = await mkdtemp(join(tmpdir(), "lighter-key-"));
    let token = "";
    {
      await using first = await openTestRegistry({ auth: { htpasswd, tokens: true } }, root);
      token = ((await (await first.call("GET", "/token", { headers: alice() })).json()) as Got).token;
    }
    await using second = await openTestRegistry({ auth: { htpasswd, tokens: true } }, root);
    await must(second.call("GET", "/v2/", { headers: { authorization: `Bearer ${token}` } }), 200);
    expect((await stat(join(root, "token-key.json"))).mode & 0o777).toBe(0o600);
    await rm(root, { recursive: true });
  });
});

describe("tokens of a token server", () => {
  const server = { realm: "https://auth.test/token", service: "registry.test", issuer: "auth.test" };
  const access = [{ type: "repository", name: "team/x", actions: ["pull", "push"] }];

  /** A token for `team/x`, with claims or header changed. */
  async function sign(key: KeyObject, alg: string, header: object = {}, claims: JWTPayload = {}): Promise<Record<string, string>> {
    const now = Math.floor(Date.now() / 1000);
    const all = { iss: server.issuer, aud: server.service, sub: "bob", iat: now, nbf: now - 5, exp: now + 300, access, ...claims };
    const token = await new SignJWT(all).setProtectedHeader({ alg, ...header }).sign(key);
    return { authorization: `Bearer ${token}` };
  }

  async function withServer(
    settings: Partial<TokenServer>,
    check: (status: (headers: Record<string, string>, path?: string) => Promise<number>) => Promise<void>,
  ): Promise<void> {
    await using registry = await openTestRegistry({ auth: { tokens: { ...server, ...settings } } });
    await check(async (headers, path = "/v2/team/x/tags/list") => (await registry.call("GET", path, { headers })).status);
    const refused = await must(registry.call("GET", "/v2/team/x/tags/list"), 401);
    expect(refused.headers.get("www-authenticate")).toBe(
      'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:team/x:pull"',
    );
  }

  test("by a certificate: its key's id, a chain to it, or as the only one", async () => {
    const { cert, key: pem } = makeCertificate(["auth.test"], new Date());
    const other = makeCertificate(["evil.test"], new Date());
    const bundle = join(folder, "bundle.pem");
    await Bun.write(bundle, cert);
    const key = createPrivateKey(pem);
    const der = (text: string): string => new X509Certificate(text).raw.toString("base64");
    await withServer({ rootcertbundle: bundle }, async (status) => {
      expect(await status(await sign(key, "ES256"))).toBe(404);
      for (const kid of keyIds(new X509Certificate(cert).publicKey)) expect(await status(await sign(key, "ES256", { kid }))).toBe(404);
      expect(await status(await sign(key, "ES256", { x5c: [der(cert)] }))).toBe(404);
      expect(await status(await sign(createPrivateKey(other.key), "ES256", { x5c: [der(other.cert)] }))).toBe(401);
      expect(await status(await sign(createPrivateKey(other.key), "ES256", { x5c: [der(other.cert), der(cert)] }))).toBe(401);
      expect(await status(await sign(createPrivateKey(other.key), "ES256"))).toBe(401);
      expect(await status(await sign(key, "ES256", { kid: "another" }))).toBe(401);
      expect(await status(await sign(key, "ES256"), "/v2/team/y/tags/list")).toBe(401);
      expect(await status(await sign(key, "ES256"), "/v2/")).toBe(200);
      const now = Math.floor(Date.now() / 1000);
      for (const claims of [
        { iss: "evil.test" },
        { aud: "other" },
        { exp: now - 3600 },
        { exp: undefined },
        { nbf: now + 3600 },
        { access: "all" },
        { access: [null, {}] },
      ] as JWTPayload[])
        expect(await status(await sign(key, "ES256", {}, claims))).toBe(401);
    });
  });

  test("by a key set, RSA", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const jwks = join(folder, "keys.json");
    await Bun.write(jwks, JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one", alg: "RS256", use: "sig" }] }));
    await withServer({ jwks }, async (status) => {
      expect(await status(await sign(privateKey, "RS256", { kid: "one" }))).toBe(404);
      expect(await status(await sign(privateKey, "RS256", { kid: "two" }))).toBe(401);
    });
  });
});

test("TLS with a certificate that is made here, once", async () => {
  const root = await mkdtemp(join(tmpdir(), "lighter-tls-"));
  const { cert } = await (async () => {
    await using registry = await openTestRegistry({ tls: {} }, root);
    expect(registry.address).toStartWith("https://127.0.0.1:");
    const ca = await readFile(join(root, "tls/registry.crt"), "utf8");
    expect((await fetch(`${registry.address}/v2/`, { tls: { ca } })).status).toBe(200);
    await expect(fetch(`${registry.address}/v2/`)).rejects.toThrow(/certificate|self/i);
    return { cert: ca };
  })();
  expect(new X509Certificate(cert).subjectAltName).toContain("127.0.0.1");
  expect((await stat(join(root, "tls/registry.key"))).mode & 0o777).toBe(0o600);
  await using again = await openTestRegistry({ tls: {} }, root);
  expect(await readFile(join(root, "tls/registry.crt"), "utf8")).toBe(cert);
  await again.call("GET", "/v2/");
  await rm(root, { recursive: true });
});

test.skipIf(Bun.which("openssl") === null)("TLS with a certificate that is given, and clients that must show one of a CA", async () => {
  const made = async (name: string): Promise<{ cert: string; key: string }> => {
    const files = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${name}`];
    await Bun.$`openssl req ${kind} -addext subjectAltName=IP:127.0.0.1 -keyout ${files.key} -out ${files.cert}`.quiet();
    return files;
  };
  const [server, client, stranger] = [await made("server"), await made("client"), await made("stranger")];
  await using registry = await openTestRegistry({ tls: { ...server, clientCa: client.cert } });
  const ask = async (shown?: { cert: string; key: string }): Promise<Response> => {
    const own = shown && { cert: await readFile(shown.cert, "utf8"), key: await readFile(shown.key, "utf8") };
    return await fetch(`${registry.address}/v2/`, { tls: { ca: await readFile(server.cert, "utf8"), ...own } });
  };
  expect((await ask(client)).status).toBe(200);
  await expect(ask()).rejects.toThrow();
  await expect(ask(stranger)).rejects.toThrow();
  await expect(openTestRegistry({ tls: { cert: server.cert } })).rejects.toThrow("a certificate needs its key");
  await expect(openTestRegistry({ tls: { cert: "/none", key: "/none" } })).rejects.toThrow('reading "/none" failed');
});

test("addresses beyond the loopback need TLS, or to be told that they do not", async () => {
  await expect(openTestRegistry({ addresses: ["0.0.0.0:0"] })).rejects.toThrow("without TLS passwords and images travel in the clear");
  await expect(openTestRegistry({ addresses: ["nonsense"] })).rejects.toThrow("expected HOST:PORT");
  await using open = await openTestRegistry({ addresses: ["0.0.0.0:0"], plain: true });
  expect((await open.call("GET", "/v2/")).status).toBe(200);
});

const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === "::1"));
test.skipIf(!hasIpv6)("several addresses, one of them of IPv6", async () => {
  await using registry = await openTestRegistry({ addresses: ["[::1]:0", "127.0.0.1:0"] });
  expect([registry.address.startsWith("http://[::1]:"), (await registry.call("GET", "/v2/")).status]).toEqual([true, 200]);
});

test("what stands in for Docker Hub cannot be changed or added to from the network", async () => {
  const root = await mkdtemp(join(tmpdir(), "lighter-shipped-"));
  const state = new State(join(root, "state.db"));
  const content = await openContent({ dataRoot: root, state, roots: [REGISTRY_ROOTS] });
  const network = { config: { ...DEFAULT_REGISTRY, addresses: ["127.0.0.1:0"] }, folder: root };
  const registry = await openRegistry({ state, content, socket: join(root, "r.sock"), shipped: shippedImages, network });
  const ask = async (method: string, path: string): Promise<number> =>
    (await fetch(`${registry.addresses[0]}/v2/${path}`, { method })).status;
  expect(await ask("HEAD", "library/hello-world/manifests/latest")).toBe(200);
  for (const [method, path] of [
    ["POST", "blobs/uploads/"],
    ["PUT", "manifests/latest"],
    ["DELETE", "manifests/latest"],
  ] as const)
    expect(await ask(method, `library/hello-world/${path}`)).toBe(403);
  const digest = digestOf("x");
  const pushed = await fetch(`${registry.addresses[0]}/v2/library/busybox/blobs/uploads/?digest=${digest}`, { method: "POST", body: "x" });
  expect(pushed.status).toBe(201);
  const manifest = JSON.stringify({ schemaVersion: 2, config: { mediaType: MEDIA.ociConfig, digest, size: 1 }, layers: [] });
  const headers = { "content-type": MEDIA.ociManifest };
  const tagged = await fetch(`${registry.addresses[0]}/v2/library/busybox/manifests/latest`, { method: "PUT", body: manifest, headers });
  expect(tagged.status).toBe(201);
  expect([registry.has("library/hello-world"), registry.has("library/busybox")]).toEqual([true, false]);
  await registry[Symbol.asyncDispose]();
  state.close();
  await rm(root, { recursive: true });
});
