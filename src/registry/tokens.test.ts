import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPrivateKey, generateKeyPairSync, X509Certificate, type KeyObject } from "node:crypto";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT, type JWTPayload } from "jose";
import { digestOf } from "../oci/digest.ts";
import { alice, basic, bob, makeUsers, type Users } from "./access-fixture.ts";
import type { TokenServer } from "./config.ts";
import { keyIds } from "./key-ids.ts";
import { makeCertificate } from "./own-certificate.ts";
import { parseSettings } from "./settings.ts";
import { must, openTestRegistry, type TestRegistry } from "./spec-fixture.ts";

let users: Users;
beforeAll(async () => void (users = await makeUsers()));
afterAll(async () => await users?.[Symbol.asyncDispose]());

describe("tokens of our own", () => {
  let registry: TestRegistry;
  beforeAll(
    async () => void (registry = await openTestRegistry({ auth: { htpasswd: users.htpasswd, rights: users.rights, tokens: true } })),
  );
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

  test("metrics beside the registry are for those who signed in, not for whoever has nobody's token", async () => {
    const settings = parseSettings({ metrics: { path: "/metrics" } });
    const auth = { htpasswd: users.htpasswd, rights: users.rights, tokens: true } as const;
    await using watched = await openTestRegistry({ auth }, undefined, settings);
    const bearer = async (headers: Record<string, string>): Promise<Record<string, string>> => {
      const { token } = (await (await must(watched.call("GET", "/token", { headers }), 200)).json()) as Got;
      return { authorization: `Bearer ${token}` };
    };
    await must(watched.call("GET", "/metrics"), 401);
    const refused = await must(watched.call("GET", "/metrics", { headers: await bearer({}) }), 403);
    expect(await refused.text()).not.toContain("lighter_registry_");
    for (const headers of [await bearer(bob()), bob()])
      expect(await (await must(watched.call("GET", "/metrics", { headers }), 200)).text()).toContain("lighter_registry_tags 0");
    await using open = await openTestRegistry({}, undefined, settings);
    await must(open.call("GET", "/metrics"), 200);
  });

  test("the key outlives the registry and is its owner's alone", async () => {
    const root = await mkdtemp(join(tmpdir(), "lighter-key-"));
    let token = "";
    {
      await using first = await openTestRegistry({ auth: { htpasswd: users.htpasswd, tokens: true } }, root);
      token = ((await (await first.call("GET", "/token", { headers: alice() })).json()) as Got).token;
    }
    await using second = await openTestRegistry({ auth: { htpasswd: users.htpasswd, tokens: true } }, root);
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
    const bundle = join(users.folder, "bundle.pem");
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
    const jwks = join(users.folder, "keys.json");
    await Bun.write(jwks, JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one", alg: "RS256", use: "sig" }] }));
    await withServer({ jwks }, async (status) => {
      expect(await status(await sign(privateKey, "RS256", { kid: "one" }))).toBe(404);
      expect(await status(await sign(privateKey, "RS256", { kid: "two" }))).toBe(401);
    });
  });
});
