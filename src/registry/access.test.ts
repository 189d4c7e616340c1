import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { alice, basic, bob, makeUsers, type Users } from "./access-fixture.ts";
import { DEFAULT_REGISTRY, parseRegistryConfig } from "./config.ts";
import { PasswordFile, parsePasswords } from "./htpasswd.ts";
import { RateLimit } from "./rate-limit.ts";
import { parseRights, readRights } from "./rights.ts";
import { codesOf, must, openTestRegistry, type TestRegistry } from "./spec-fixture.ts";

let users: Users;
beforeAll(async () => void (users = await makeUsers()));
afterAll(async () => await users?.[Symbol.asyncDispose]());

describe("password file", () => {
  test("bcrypt under each of its names; what is not bcrypt, and what is no line, is told", async () => {
    const file = await PasswordFile.open(users.htpasswd);
    expect(await file.verify("alice", "secret")).toBe(true);
    expect(await file.verify("alice", "secret")).toBe(true);
    expect(await file.verify("alice", "Secret")).toBe(false);
    expect(await file.verify("carol", "secret")).toBe(false);
    expect(await file.verify("bob", "builder: with a colon")).toBe(true);
    expect(() => parsePasswords("a:$apr1$abc$def", "f")).toThrow('Cannot use "f": the password of "a" is not bcrypt\'s');
    expect(() => parsePasswords("\nnonsense", "f")).toThrow('Cannot use "f": line 2 is not USER:HASH');
    await expect(PasswordFile.open(join(users.folder, "none"))).rejects.toThrow("Cannot read");
  });

  test("a file that changes is read again, and what was remembered is forgotten with it", async () => {
    const path = join(users.folder, "changing");
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
  const path = join(users.folder, "long");
  await Bun.write(path, `x:${await Bun.password.hash("a".repeat(72), { algorithm: "bcrypt", cost: 4 })}\n`);
  const file = await PasswordFile.open(path);
  expect([await file.verify("x", "a".repeat(72)), await file.verify("x", "a".repeat(90)), await file.verify("x", "a".repeat(71))]).toEqual([
    true,
    true,
    false,
  ]);
});

test("rights that change are read again; a file that is wrong for a moment changes nothing", async () => {
  const path = join(users.folder, "changing-rights");
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
  beforeAll(async () => void (registry = await openTestRegistry({ auth: { htpasswd: users.htpasswd, rights: users.rights } })));
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
