/** Lists of images, searches, what a registry has, and what an image says about itself. Deadline: 240 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { testImage } from "../tools/test-images.ts";
import type { DistributionInspect, ImageInspect } from "../src/wire/engine-api.ts";
import { pushAttested, SBOM_TYPE, STATEMENT } from "./harness/attested.ts";
import { Ground } from "./harness/ground.ts";
import { TestRegistry } from "./harness/registry.ts";
import { TokenServer } from "./harness/token-server.ts";
import type { Outcome } from "../tools/shell.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox", "layered"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/** docker's words for the same, in the newest client at hand: what it prints is what ours prints. */
const PAIR = ["docker 26.1", "lighter"] as const;

/** Runs the same line with docker and with ours on repositories of their own, and expects the same of both. */
async function same(...args: string[]): Promise<Outcome> {
  const outcomes = [];
  for (const name of PAIR) {
    const own = name === "lighter" ? "ours" : "docker";
    const { code, stdout, stderr } = await ground.client(name).run(args.map((word) => word.replace("@OWN", own)));
    const plain = (text: string): string => text.replaceAll(`/${own}/`, "/@OWN/");
    outcomes.push({ code, stdout: plain(stdout), stderr: plain(stderr) });
  }
  const [docker, ours] = outcomes;
  expect(ours).toEqual(docker);
  return ours as Outcome;
}

test("manifest: every step prints what docker prints, and the pushed lists have the same digest", async () => {
  const { host } = ground.registry;
  const [list, first, second] = [`${host}/@OWN/list:1`, `${host}/@OWN/busybox`, `${host}/@OWN/layered`] as const;
  for (const own of ["ours", "docker"]) {
    await ground.registry.push((await testImage("busybox")).layout, `${own}/busybox`);
    await ground.registry.push((await testImage("layered")).layout, `${own}/layered`);
  }
  expect((await same("manifest", "create", "--insecure", list, first)).stdout).toBe(`Created manifest list ${host}/@OWN/list:1\n`);
  expect((await same("manifest", "create", "--insecure", list, second)).stderr).toContain("refusing to amend");
  await same("manifest", "create", "--insecure", "--amend", list, second);
  expect((await same("manifest", "create", "--insecure", list, `${host}/@OWN/none`)).code).toBe(1);
  await same("manifest", "annotate", list, second, "--arch", "arm64", "--variant", "v8", "--os-features", "a,b", "--os-version", "10");
  expect((await same("manifest", "annotate", list, first, "--arch", "none")).stderr).toContain("unsupported os/arch combination");
  expect((await same("manifest", "annotate", list, `${host}/@OWN/none`, "--arch", "arm64")).code).toBe(1);
  for (const flags of [[], ["-v"]]) {
    await same("manifest", "inspect", ...flags, list, first);
    await same("manifest", "inspect", "--insecure", ...flags, first);
  }
  const shown = await same("manifest", "inspect", list);
  expect((JSON.parse(shown.stdout) as { manifests: unknown[] }).manifests).toHaveLength(2);
  const pushed = await same("manifest", "push", "--insecure", "--purge", list);
  expect(pushed.stdout).toMatch(/^Pushed ref \S+ with digest: \S+\nPushed ref .*\nsha256:[0-9a-f]{64}\n$/);
  expect(await readdir(`${ground.clientEnv("lighter")["DOCKER_CONFIG"]}/manifests`)).toEqual([]);
  expect((await same("manifest", "inspect", "--insecure", list)).stdout).toBe(shown.stdout);
  expect((await same("manifest", "push", "--insecure", list)).stderr).toContain("No such manifest");
  expect((await same("manifest", "rm", list)).code).toBe(1);
  expect((await same("manifest", "create", "--insecure", `${host}/@OWN/other`, list)).stderr).toContain("is a manifest list");
  const pulled = await ground.lighter.must("pull", "-q", `${host}/ours/list:1`);
  expect(await ground.lighter.must("inspect", "-f", "{{.Id}}", pulled)).toBe(pushed.stdout.trim().split("\n").at(-1) ?? "");
});

test("either program goes on with the other's list", async () => {
  const { host } = ground.registry;
  const env = ground.clientEnv("lighter");
  await ground.lighter.must("manifest", "create", "--insecure", `${host}/shared`, `${host}/busybox`);
  const docker = ground.client("docker 26.1");
  await docker.run(["manifest", "create", "--insecure", "--amend", `${host}/shared`, `${host}/layered`], { env });
  const { stdout } = await docker.run(["manifest", "inspect", `${host}/shared`], { env });
  expect(`${await ground.lighter.must("manifest", "inspect", `${host}/shared`)}\n`).toBe(stdout);
  expect((JSON.parse(stdout) as { manifests: unknown[] }).manifests).toHaveLength(2);
  await ground.lighter.must("manifest", "rm", `${host}/shared`);
});

test("search: docker's columns and filters from an index, and the catalogue where there is none", async () => {
  const results = [
    { name: "busybox", description: "Small\ntools", star_count: 3200, is_official: true, is_automated: false },
    { name: "team/tool", description: "x".repeat(60), star_count: 12, is_official: false, is_automated: true },
  ];
  const asked: string[] = [];
  const index = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      if (pathname === "/v1/search") asked.push(`${search} ${request.headers.get("authorization")}`);
      return pathname === "/v1/search"
        ? Response.json({ results })
        : new Response("none", { status: pathname === "/v1/_ping" ? 200 : 404 });
    },
  });
  const host = `127.0.0.1:${index.port}`;
  for (const flags of [[], ["--no-trunc"], ["--format", "{{.Name}}:{{.StarCount}}:{{.IsOfficial}}"]])
    await same("search", ...flags, `${host}/tool`);
  const [row] = (await ground.lighter.must("search", "--format", "json", `${host}/tool`)).split("\n");
  expect(row).toBe('{"Description":"Small tools","IsOfficial":"true","Name":"busybox","StarCount":"3200"}');
  expect((await same("search", "-f", "is-official=true", `${host}/tool`)).stdout).not.toContain("team/tool");
  expect((await same("search", "-f", "stars=13", `${host}/tool`)).stdout).not.toContain("team/tool");
  expect((await same("search", "--limit", "101", `${host}/tool`)).stderr).toContain("limit 101 is outside the range of [1, 100]");
  expect((await same("search", "-f", "color=red", `${host}/tool`)).stderr).toContain("invalid filter 'color'");
  const login = Buffer.from(JSON.stringify({ username: "ann", password: "secret" })).toString("base64url");
  await ground.daemon.json("GET", `/images/search?term=${host}/tool&limit=7`, { headers: { "x-registry-auth": login } });
  expect(asked[0]).toBe("?q=tool&n=25 null");
  expect(asked.at(-1)).toBe(`?q=tool&n=7 Basic ${Buffer.from("ann:secret").toString("base64")}`);
  expect(await ground.lighter.must("search", "--format", "{{.Name}}", `${ground.registry.host}/BUSY`)).toContain(
    `${ground.registry.host}/busybox`,
  );
  await index.stop(true);
  const none = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("none", { status: 404 }) });
  const { stderr } = await ground.lighter.run(["search", `127.0.0.1:${none.port}/x`]);
  expect(stderr).toContain(`Cannot search "127.0.0.1:${none.port}": it offers neither Docker's search (status 404) nor a list`);
  await none.stop(true);
});

test("what a registry has under a name is told without a pull", async () => {
  const { host } = ground.registry;
  const { index } = await pushAttested(ground.registry, "told");
  const told = await ground.daemon.json<DistributionInspect>("GET", `/distribution/${host}/told/json`);
  expect(told.Descriptor).toEqual({ mediaType: index.mediaType, digest: index.digest, size: index.size });
  expect(told.Platforms.map((each) => each?.os)).toEqual(["linux", "unknown"]);
  const single = await ground.daemon.json<DistributionInspect>("GET", `/distribution/${host}/busybox/json`);
  expect(single.Platforms).toEqual([{ architecture: process.arch === "arm64" ? "arm64" : "amd64", os: "linux" }]);
  expect(await ground.lighter.must("images", "-q", `${host}/told`)).toBe("");
  const refusals: [string, number, string][] = [
    [`${host}/none`, 404, "manifest unknown: manifest unknown"],
    [`${host}/busybox:none`, 404, "manifest unknown: manifest unknown"],
    ["127.0.0.1:1/x", 500, "connection refused"],
    ["BAD", 400, "must be lowercase"],
    ["a".repeat(64), 400, "unknown image reference format"],
  ];
  for (const [name, status, text] of refusals) {
    const answer = await ground.daemon.api("GET", `/distribution/${name}/json`);
    expect({ name, status: answer.status }).toEqual({ name, status });
    expect(((await answer.json()) as { message: string }).message).toContain(text);
  }
});

test("attestations come with a pull, stay through save, load and push, and can be read", async () => {
  const { host } = ground.registry;
  const { image, attestation, index } = await pushAttested(ground.registry, "attested");
  const name = `${host}/attested:latest`;
  const check = async (reference: string): Promise<void> => {
    const { Manifests = [], Id } = await ground.daemon.json<ImageInspect>("GET", `/images/${reference}/json?manifests=1`);
    expect(Id).toBe(index.digest);
    const about = Manifests?.find(({ Kind }) => Kind === "attestation");
    expect(about).toMatchObject({ ID: attestation.digest, Available: true, AttestationData: { For: image.digest } });
    const all = await ground.daemon.json<{ PredicateType: string }[]>("GET", `/images/${reference}/attestations`);
    expect(all.map(({ PredicateType }) => PredicateType)).toEqual([STATEMENT.predicateType, SBOM_TYPE]);
    expect(all[0]).not.toHaveProperty("Statement");
  };
  await ground.lighter.must("pull", "-q", name);
  await check(name);
  const [one] = await ground.daemon.json<{ Statement: unknown }[]>(
    "GET",
    `/images/${name}/attestations?statement=1&type=${encodeURIComponent(STATEMENT.predicateType)}`,
  );
  expect(one?.Statement).toEqual(STATEMENT);
  const archive = ground.path("attested.tar");
  await ground.lighter.must("save", "-o", archive, name);
  await ground.lighter.must("rmi", name);
  await ground.lighter.must("load", "-i", archive);
  await check(name);
  await ground.lighter.must("tag", name, `${host}/copied`);
  await ground.lighter.must("push", "-q", `${host}/copied`);
  const there = await fetch(`http://${host}/v2/copied/manifests/${attestation.digest}`, { headers: { accept: attestation.mediaType } });
  expect(there.status).toBe(200);
  const other = encodeURIComponent(JSON.stringify({ os: "linux", architecture: "s390x" }));
  expect((await ground.daemon.api("GET", `/images/${name}/attestations?platform=${other}`)).status).toBe(404);
  expect(await ground.daemon.json<unknown[]>("GET", "/images/busybox/attestations")).toEqual([]);
  expect((await ground.daemon.api("GET", `/images/${name}/attestations`, { version: "1.54" })).status).toBe(400);
});

test("a registry that wants tokens: manifest and search take the user's login, and none after it is gone", async () => {
  await using issuer = await TokenServer.start(ground.folder, { name: "me", password: "secret" });
  await using registry = await TestRegistry.start(ground.path("tokens"), { auth: issuer.auth });
  const { lighter } = ground;
  const { host } = registry;
  await lighter.must("login", "-u", "me", "-p", "secret", host);
  for (const name of ["busybox", "layered"]) {
    await lighter.must("tag", name, `${host}/${name}`);
    await lighter.must("push", "-q", `${host}/${name}`);
  }
  await lighter.must("manifest", "create", `${host}/team/list`, `${host}/busybox`, `${host}/layered`);
  await lighter.must("manifest", "annotate", `${host}/team/list`, `${host}/layered`, "--arch", "s390x");
  const pushed = await lighter.must("manifest", "push", `${host}/team/list`);
  await lighter.must("manifest", "rm", `${host}/team/list`);
  expect(JSON.parse(await lighter.must("manifest", "inspect", `${host}/team/list`))).toMatchObject({ manifests: [{}, {}] });
  expect(pushed.split("\n")).toHaveLength(3);
  expect(await lighter.must("search", "--format", "{{.Name}}", `${host}/layer`)).toBe(`${host}/layered`);
  await lighter.must("manifest", "create", `${host}/team/list:2`, `${host}/busybox`);
  await lighter.must("logout", host);
  expect((await lighter.run(["manifest", "push", `${host}/team/list:2`])).code).toBe(1);
  expect((await lighter.run(["search", `${host}/layer`])).stderr).toMatch(/unauthorized|denied/);
});

test("names by digest: listed when asked for, kept while another tag is there, gone with the last one", async () => {
  const name = `${ground.registry.host}/bydigest`;
  const digest = await ground.registry.push((await testImage("layered")).layout, "bydigest");
  const { lighter } = ground;
  const shown = (reference: string): Promise<string> => lighter.must("images", "--format", "{{.Repository}}:{{.Tag}}", reference);
  await lighter.must("pull", "-q", name);
  await lighter.must("pull", "-q", `${name}@${digest}`);
  await lighter.must("tag", name, `${name}:2`);
  expect(await shown(`${name}@${digest}`)).toBe(`${name}:<none>`);
  expect((await shown(name)).split("\n").toSorted()).toEqual([`${name}:2`, `${name}:latest`]);
  expect(await lighter.must("rmi", `${name}:2`)).toBe(`Untagged: ${name}:2`);
  expect(await lighter.must("rmi", name)).toStartWith(`Untagged: ${name}:latest\nUntagged: ${name}@${digest}`);
  expect(await shown(name)).toBe("");
  expect((await lighter.run(["images", "-f", "reference=["])).stderr).toContain("syntax error in pattern");
  expect((await lighter.run(["tag", "busybox", "sha256:1"])).stderr).toContain("refusing to create an ambiguous tag");
});

test("pull --all-tags takes the images and leaves the tags that are about others", async () => {
  const name = `${ground.registry.host}/everything`;
  const digest = await ground.registry.push((await testImage("busybox")).layout, "everything", "1");
  await ground.registry.push((await testImage("layered")).layout, "everything", "2");
  const index = JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] });
  const put = { method: "PUT", body: index, headers: { "content-type": "application/vnd.oci.image.index.v1+json" } };
  const tag = digest.replace(":", "-");
  expect((await fetch(`http://${ground.registry.host}/v2/everything/manifests/${tag}`, put)).status).toBe(201);
  expect(await ground.lighter.must("pull", "-q", "-a", name)).toBe(name);
  expect((await ground.lighter.must("images", "--format", "{{.Tag}}", name)).split("\n").toSorted()).toEqual(["1", "2"]);
});
