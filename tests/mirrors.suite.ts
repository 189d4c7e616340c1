/**
 * Registries as they are: Debian's docker-registry with TLS, a password file and tokens, behind proxies and as a pull-through cache; mirrors that are
 * down, silent or lying; the configuration read again. Deadline: 150 s.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { testImage } from "../tools/test-images.ts";
import { LIGHTER } from "./harness/daemon.ts";
import { Ground } from "./harness/ground.ts";
import { freePort } from "./harness/ports.ts";
import { Relay } from "./harness/relay.ts";
import { TestRegistry } from "./harness/registry.ts";
import { eventsOf, stamp } from "./harness/told.ts";
import { selfSigned, TokenServer } from "./harness/token-server.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
/** Holds `library/busybox`, as a mirror of docker.io would, and `team/app`. */
let mirror: TestRegistry;
let layout: string;
let digest: string;
const config = (): string => ground.path("daemon.json");
const hosts = (): string => ground.path("certs.d");

beforeAll(async () => {
  ground = await Ground.lay([]);
  await ground.daemon.end();
  ground.daemon.flags.push("--config-file", config());
  await mkdir(hosts());
  await Bun.write(config(), JSON.stringify({ "registry-config-path": hosts() }));
  await ground.daemon.start();
  ({ layout } = await testImage("busybox"));
  mirror = await TestRegistry.start(ground.path("mirror"));
  digest = await mirror.push(layout, "library/busybox");
  await mirror.push(layout, "team/app");
});
afterAll(async () => {
  await mirror?.[Symbol.asyncDispose]();
  await ground?.[Symbol.asyncDispose]();
});

/** Writes the configuration, has it read, and waits until that is done; the log's new lines. */
async function configure(values: object | string): Promise<string> {
  await Bun.write(config(), typeof values === "string" ? values : JSON.stringify({ "registry-config-path": hosts(), ...values }));
  const before = (await ground.daemon.log).length;
  process.kill(ground.daemon.pid, "SIGHUP");
  const told = async (): Promise<string> => (await ground.daemon.log).slice(before);
  await until("the configuration is read", async () => /reloaded the configuration|nothing is changed/.test(await told()));
  return await told();
}

/** Pulls with docker's own client, and removes what came. */
async function pull(name: string, client: "lighter" | "docker 26.1" = "docker 26.1"): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await ground.client(client).run(["pull", name]);
  if (code === 0) await ground.lighter.must("rmi", "-f", name);
  return { code, text: stdout + stderr };
}

describe("the configuration is read again", () => {
  interface Info {
    Labels: string[];
    Debug: boolean;
    RegistryConfig: {
      Mirrors: string[];
      InsecureRegistryCIDRs: string[];
      IndexConfigs: Record<string, { Secure: boolean; Mirrors: string[] }>;
    };
  }

  test("SIGHUP: labels, mirrors, limits; the event has dockerd's attributes", async () => {
    const since = stamp();
    const log = await configure({
      labels: ["a=b"],
      debug: true,
      "registry-mirrors": ["http://127.0.0.1:1"],
      "insecure-registries": ["fd00::/8", "old:5000"],
      "max-concurrent-downloads": 7,
      mirrors: { "ghcr.io": ["https://mirror.test/ghcr"] },
    });
    expect(log).toContain(`reloading from: ${config()}`);
    const info = await ground.daemon.json<Info>("GET", "/info");
    expect(info).toMatchObject({ Labels: ["a=b"], Debug: true });
    expect(info.RegistryConfig).toEqual({
      Mirrors: ["http://127.0.0.1:1/"],
      InsecureRegistryCIDRs: ["::1/128", "127.0.0.0/8", "fd00::/8"],
      IndexConfigs: {
        "docker.io": { Name: "docker.io", Mirrors: ["http://127.0.0.1:1/"], Secure: true, Official: true },
        "old:5000": { Name: "old:5000", Mirrors: [], Secure: false, Official: false },
        "ghcr.io": { Name: "ghcr.io", Mirrors: ["https://mirror.test/ghcr"], Secure: true, Official: false },
      },
    } as never);
    const [event] = await eventsOf(ground.daemon, { since, filters: { type: ["daemon"], event: ["reload"] } });
    expect(event?.Actor.Attributes).toMatchObject({
      debug: "true",
      features: "map[]",
      "insecure-registries": '["fd00::/8","old:5000"]',
      labels: '["a=b"]',
      "max-concurrent-downloads": "7",
      "max-concurrent-uploads": "5",
      "max-download-attempts": "5",
      "registry-mirrors": '["http://127.0.0.1:1"]',
      "shutdown-timeout": "15",
    });
  });

  test.each([
    ['{"labels": ["b=c"], "debug": "x"}', '"debug\\" must be true or false'],
    ['{"labels": ["b=c"], "nonsense": 1}', 'unknown key \\"nonsense\\"'],
    ['{"labels": ["b=c"]', "JSON Parse error"],
    ['{"labels": ["b=c", "foo"]}', "bad attribute format: foo"],
    ['{"labels": ["b=c"], "default-runtime": "none"}', "specified default runtime 'none' does not exist"],
    ['{"labels": ["b=c"], "max-concurrent-downloads": -1}', "invalid max concurrent downloads: -1"],
    ['{"labels": ["b=c"], "registry-mirrors": ["foo"]}', 'unsupported scheme \\"\\" in \\"foo\\"'],
    ['{"labels": ["b=c"], "registry-mirrors": ["https://foo/a"]}', "path, query, or fragment at end of the URI"],
  ])("%s is refused whole", async (text, sentence) => {
    expect(await configure(text)).toContain(sentence);
    expect(await ground.daemon.json<Info>("GET", "/info")).toMatchObject({ Labels: ["a=b"] });
  });
});

test("max-concurrent-downloads: that many layers at once", async () => {
  await using relay = await Relay.start(mirror.host);
  await mirror.push((await testImage("layered")).layout, "team/layered");
  relay.hold = 80;
  for (const [most, seen] of [
    [1, 1],
    [2, 2],
  ] as const) {
    await configure({ "max-concurrent-downloads": most });
    relay.busiest = 0;
    expect(await pull(`${relay.host}/team/layered`)).toMatchObject({ code: 0 });
    expect(relay.busiest).toBe(seen);
  }
  await configure({});
});

describe("mirrors", () => {
  test("mirror add, ls, rm: the file and the daemon", async () => {
    await configure({ "registry-mirrors": [], debug: false });
    expect(await ground.lighter.must("mirror", "add", `http://${mirror.host}/`)).toBe(`http://${mirror.host}/`);
    await ground.lighter.must("mirror", "add", "--first", "http://127.0.0.1:1");
    await ground.lighter.must("mirror", "add", "registry.test:5000", "http://127.0.0.1:1/path");
    expect(await Bun.file(config()).json()).toEqual({
      "registry-config-path": hosts(),
      debug: false,
      "registry-mirrors": ["http://127.0.0.1:1", `http://${mirror.host}`],
      mirrors: { "registry.test:5000": ["http://127.0.0.1:1/path"] },
    });
    expect(await ground.lighter.must("mirror", "ls", "--format", "{{.Registry}} {{.URL}} {{.Source}}")).toBe(
      [
        "docker.io http://127.0.0.1:1 registry-mirrors",
        `docker.io http://${mirror.host} registry-mirrors`,
        "docker.io https://registry-1.docker.io (the registry itself)",
        "registry.test:5000 http://127.0.0.1:1/path mirrors",
        "registry.test:5000 https://registry.test:5000 (the registry itself)",
      ].join("\n"),
    );
    expect((await ground.lighter.run(["mirror", "add", `http://${mirror.host}`])).stderr).toContain("docker.io has it already");
    expect((await ground.lighter.run(["mirror", "rm", "http://127.0.0.1:9"])).stderr).toContain("No such mirror of docker.io");
    // What the file says is what the next daemon does.
    await ground.daemon.end();
    await ground.daemon.start();
    expect((await pull("busybox")).text).toContain(`Digest: ${digest}`);
    expect(await ground.lighter.must("mirror", "ls", "docker.io", "--format", "{{.URL}} {{.State}}")).toMatch(
      /^http:\/\/127\.0\.0\.1:1 left out until .*connection refused\nhttp:\/\/127\.0\.0\.1:\d+ in use\n/,
    );
    await ground.lighter.must("mirror", "rm", "registry.test:5000", "http://127.0.0.1:1/path");
    await ground.lighter.must("mirror", "rm", "http://127.0.0.1:1", `http://${mirror.host}`);
    expect(await ground.lighter.must("mirror", "ls")).toBe("REGISTRY   URL       SOURCE    STATE");
  });

  test("mirror test: who is dead, who answers, whom to use", async () => {
    const args = ["mirror", "test", "--image", "team/app", mirror.host, "http://127.0.0.1:1", `http://${ground.registry.host}`];
    const { code, stdout } = await ground.lighter.run(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/http:\/\/127\.0\.0\.1:1 +candidate +.*connection refused/);
    expect(stdout).toMatch(new RegExp(`http://${ground.registry.host} +candidate +[\\d.]+ms +manifest for .* not found`));
    expect(stdout).toMatch(new RegExp(`https://${mirror.host} +\\(the registry itself\\) +[\\d.]+ms +[\\d.]+[kMG]?B/s +ok`));
    expect(stdout).toContain(`Recommended: no mirror, ${mirror.host} itself is as fast as any.`);
  });

  test("the name stays, the mirror is told which registry is meant and gets no credentials; the origin is asked last", async () => {
    await using origin = await Relay.start(mirror.host);
    await using front = await Relay.start(mirror.host);
    await configure({ mirrors: { [origin.host]: [front.url] } });
    const auth = Buffer.from(JSON.stringify({ username: "me", password: "secret" })).toString("base64url");
    const name = `${origin.host}/team/app`;
    const answer = await ground.daemon.api("POST", `/images/create?fromImage=${encodeURIComponent(name)}&tag=latest`, {
      headers: { "X-Registry-Auth": auth },
    });
    expect(await answer.text()).toContain(`Status: Downloaded newer image for ${name}:latest`);
    expect(await ground.lighter.must("images", "--format", "{{.Repository}}", name)).toBe(name);
    await ground.lighter.must("rmi", name);
    expect(origin.seen).toEqual([]);
    expect(front.paths.every((path) => path.endsWith(`ns=${encodeURIComponent(origin.host)}`))).toBe(true);
    expect(front.seen.every(({ headers }) => headers.authorization === undefined)).toBe(true);
    front.status = 404;
    expect(await pull(name)).toMatchObject({ code: 0 });
    expect(origin.paths.length).toBeGreaterThan(0);
  });

  test("one that is down or answers 503 is left out for a while, then asked again", async () => {
    await using broken = await Relay.start(mirror.host);
    await configure({ mirrors: { [mirror.host]: ["http://127.0.0.1:1", broken.url] } });
    broken.status = 503;
    for (const _ of [1, 2]) expect(await pull(`${mirror.host}/team/app`)).toMatchObject({ code: 0 });
    // Two requests of the first pull; the second one did not come by.
    const asked = broken.seen.length;
    expect(asked).toBeGreaterThan(0);
    expect(await pull(`${mirror.host}/team/app`)).toMatchObject({ code: 0 });
    expect(broken.seen.length).toBe(asked);
    expect(await ground.lighter.must("mirror", "ls", mirror.host, "--format", "{{.State}}")).toMatch(
      /^left out until .*connection refused\nleft out until .*503\nin use$/,
    );
    // A configuration that is read again forgets.
    broken.status = undefined;
    await configure({ mirrors: { [mirror.host]: [broken.url] } });
    expect(await pull(`${mirror.host}/team/app`)).toMatchObject({ code: 0 });
    expect(broken.seen.length).toBeGreaterThan(asked);
  });

  test("one that says nothing is waited for once", async () => {
    await using silent = await Relay.start();
    silent.mute = true;
    await configure({ mirrors: { [mirror.host]: [silent.url] } });
    for (const _ of [1, 2]) expect(await pull(`${mirror.host}/team/app`, "lighter")).toMatchObject({ code: 0 });
    expect(silent.seen).toHaveLength(1);
  }, 60_000);

  test("one that lies about a layer is caught, and the next one asked", async () => {
    await using liar = await Relay.start(mirror.host);
    await using honest = await Relay.start(mirror.host);
    liar.lying = true;
    await configure({ mirrors: { [mirror.host]: [liar.url, honest.url] } });
    expect((await pull(`${mirror.host}/team/app`)).text).toContain(`Digest: ${digest}`);
    expect(liar.paths.some((path) => path.includes("/blobs/"))).toBe(true);
    expect(honest.paths.some((path) => path.includes("/blobs/"))).toBe(true);
    expect(await ground.lighter.must("mirror", "ls", mirror.host, "--format", "{{.State}}")).toMatch(/^left out until .*\nin use\nin use$/);
  });

  test("hosts.toml: server, capabilities, headers, a path of its own; found by the registry's name", async () => {
    await using pulls = await Relay.start(mirror.host);
    await using resolves = await Relay.start(mirror.host);
    await configure({});
    const folder = join(hosts(), "registry.test_5000_");
    await mkdir(folder);
    const file = join(folder, "hosts.toml");
    const toml = `server = "http://${mirror.host}"
[host."${pulls.url}/v2"]
capabilities = ["pull"]
override_path = true
[host."${pulls.url}/v2".header]
x-who = ["me"]
[host."${resolves.url}"]
capabilities = ["resolve"]
`;
    await Bun.write(file, toml);
    const name = "registry.test:5000/team/app";
    expect(await pull(name)).toMatchObject({ code: 0 });
    expect(resolves.paths).toEqual(["/v2/team/app/manifests/latest?ns=registry.test%3A5000"]);
    expect(pulls.paths.some((path) => path.startsWith("/v2/team/app/blobs/"))).toBe(true);
    expect(pulls.paths.some((path) => path.includes("manifests/latest"))).toBe(false);
    expect(pulls.seen.every(({ headers }) => headers["x-who"] === "me")).toBe(true);
    // Changed without a reload: it counts from the next pull on.
    await Bun.write(file, `server = "http://${mirror.host}"\ncolour = "red"\n`);
    expect((await pull(name)).text).toContain(`Cannot use "${file}": unknown field "colour"`);
    await Bun.write(file, `server = "http://${mirror.host}"\n`);
    expect(await pull(name)).toMatchObject({ code: 0 });
    expect(await ground.lighter.must("mirror", "ls", "registry.test:5000", "--format", "{{.URL}}")).toBe(`http://${mirror.host}`);
    await rm(folder, { recursive: true });
  });

  test("a pull-through cache of Debian's registry stands in for its upstream", async () => {
    await using upstream = await Relay.start(mirror.host);
    await using cache = await TestRegistry.start(ground.path("cache"), { proxy: { remoteurl: upstream.url } });
    await configure({ "registry-mirrors": [`http://${cache.host}`] });
    expect((await pull("busybox")).text).toContain(`Digest: ${digest}`);
    const asked = upstream.paths.filter((path) => path.includes("/blobs/")).length;
    expect(asked).toBeGreaterThan(0);
    expect((await pull("docker.io/library/busybox:latest")).text).toContain(`Digest: ${digest}`);
    expect(upstream.paths.filter((path) => path.includes("/blobs/"))).toHaveLength(asked);
    await configure({ "registry-mirrors": [] });
  });
});

test("our own registry stands for several registries at once, behind a password", async () => {
  const host = `127.0.0.1:${freePort()}`;
  await ground.registry.push(layout, "only/here");
  await Bun.write(ground.path("users"), `me:${await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 })}\n`);
  const flags = ["--addr", host, "--data", ground.path("served"), "--tokens", "--htpasswd", ground.path("users")];
  const upstreams = ["--proxy", `one.test=http://${mirror.host}`, "--proxy", `two.test=http://${ground.registry.host}`];
  const log = Bun.file(ground.path("served.log"));
  const server = Bun.spawn([LIGHTER, "registry", "serve", ...flags, ...upstreams], { stdout: log, stderr: log });
  try {
    await until("it answers", async () => (await fetch(`http://${host}/v2/`)).status === 401);
    await configure({ mirrors: { "one.test": [`http://me:secret@${host}`], "two.test": [`http://me:secret@${host}`] } });
    expect((await pull("one.test/team/app")).text).toContain(`Digest: ${digest}`);
    expect((await pull("two.test/only/here")).text).toContain(`Digest: ${digest}`);
    expect((await pull("two.test/team/app")).code).toBe(1);
    await configure({ mirrors: { "one.test": [`http://me:wrong@${host}`] } });
    expect((await pull("one.test/team/app")).code).toBe(1);
  } finally {
    server.kill("SIGKILL");
    await server.exited;
  }
});

describe("who may", () => {
  test("TLS and a password file: a certificate that is put in place counts at once; login, pull, push", async () => {
    const name = "registry.localhost";
    const pair = await selfSigned(ground.folder, [name]);
    const password = await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 });
    await Bun.write(ground.path("htpasswd"), `me:${password}\n`);
    await using registry = await TestRegistry.start(ground.path("tls"), {
      http: { tls: { certificate: pair.cert, key: pair.key } },
      auth: { htpasswd: { realm: "test", path: ground.path("htpasswd") } },
    });
    await configure({});
    const host = registry.host.replace("127.0.0.1", name);
    expect((await pull(`${host}/app`)).text).toContain(`Get "https://${host}/v2/": tls: failed to verify certificate`);
    await mkdir(join(hosts(), host));
    await Bun.write(join(hosts(), host, "ca.crt"), Bun.file(pair.cert));
    expect((await pull(`${host}/app`, "lighter")).text).toMatch(/unauthorized|no basic auth credentials/);
    for (const client of ["lighter", "docker 26.1"] as const) {
      const docker = ground.client(client);
      expect((await docker.run(["login", "-u", "me", "-p", "wrong", host])).code).toBe(1);
      expect(await docker.must("login", "-u", "me", "-p", "secret", host)).toContain("Login Succeeded");
      await ground.lighter.must("pull", `${mirror.host}/team/app`);
      await docker.must("tag", `${mirror.host}/team/app`, `${host}/app`);
      expect(await docker.must("push", `${host}/app`)).toContain(`digest: ${digest}`);
      await docker.must("rmi", `${host}/app`, `${mirror.host}/team/app`);
      expect((await pull(`${host}/app`, client)).text).toContain(`Digest: ${digest}`);
    }
  });

  test("tokens: asked for once for each scope, again when they have ended; everybody may pull, who logs in may push", async () => {
    await using issuer = await TokenServer.start(ground.folder, { name: "me", password: "secret" });
    await using registry = await TestRegistry.start(ground.path("tokens"), { auth: issuer.auth });
    const image = `${registry.host}/team/app`;
    const docker = ground.client("docker 26.1");
    await ground.lighter.must("pull", `${mirror.host}/team/app`);
    await docker.must("tag", `${mirror.host}/team/app`, image);
    expect((await docker.run(["push", image])).code).toBe(1);
    await docker.must("login", "-u", "me", "-p", "secret", registry.host);
    issuer.asked.length = 0;
    expect(await docker.must("push", image)).toContain(`digest: ${digest}`);
    // docker keeps the token that came with the login, not the password.
    expect(new Set(issuer.asked)).toEqual(new Set(["POST repository:team/app:pull,push me"]));
    await docker.must("logout", registry.host);
    await ground.lighter.must("rmi", image, `${mirror.host}/team/app`);
    issuer.asked.length = 0;
    for (const _ of [1, 2]) expect((await pull(image)).text).toContain(`Digest: ${digest}`);
    expect(issuer.asked).toEqual(["GET repository:team/app:pull"]);
    issuer.life = 1;
    await configure({ debug: true });
    for (const _ of [1, 2]) {
      expect((await pull(image)).text).toContain(`Digest: ${digest}`);
      await Bun.sleep(1000);
    }
    expect(issuer.asked.length).toBeGreaterThan(2);
  });
});

describe("proxies", () => {
  test("a name that only the proxy knows; what no-proxy names goes past it", async () => {
    await using proxy = await Relay.start();
    proxy.names.set("registry.behind:80", mirror.host);
    proxy.names.set("registry.behind", mirror.host);
    const insecure = { "insecure-registries": ["registry.behind"] };
    await configure({ ...insecure, proxies: { "http-proxy": proxy.url, "https-proxy": proxy.url, "no-proxy": "other.test" } });
    expect(await pull("registry.behind/team/app")).toMatchObject({ code: 0 });
    expect(proxy.seen.some(({ path }) => path === "http://registry.behind/v2/team/app/manifests/latest")).toBe(true);
    const asked = proxy.seen.length;
    expect(await pull(`${mirror.host}/team/app`)).toMatchObject({ code: 0 });
    await configure({ ...insecure, proxies: { "http-proxy": proxy.url, "https-proxy": proxy.url, "no-proxy": ".test,registry.behind" } });
    expect((await pull("registry.behind/team/app")).text).toContain("no such host");
    expect(proxy.seen).toHaveLength(asked);
    await configure({ "insecure-registries": [] });
  });

  test("HTTPS through CONNECT, with the registry's own certificate", async () => {
    await using proxy = await Relay.start();
    const pair = await selfSigned(ground.folder, ["secret.behind"]);
    await using registry = await TestRegistry.start(ground.path("behind"), { http: { tls: { certificate: pair.cert, key: pair.key } } });
    proxy.names.set("secret.behind:443", registry.host);
    await mkdir(join(hosts(), "secret.behind"));
    await Bun.write(join(hosts(), "secret.behind", "ca.crt"), Bun.file(pair.cert));
    await configure({ proxies: { "https-proxy": proxy.url } });
    expect((await pull("secret.behind/team/app")).text).toContain("manifest unknown");
    expect(proxy.seen.map(({ method, path }) => `${method} ${path}`)).toContain("CONNECT secret.behind:443");
  });
});
