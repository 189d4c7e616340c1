/** The registry: programs no one here wrote push to it and pull from it, images go round in a ring, kill -9 in the middle of uploads. Deadline: 400 s. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../src/oci/digest.ts";
import { MEDIA, type Digest, type Index } from "../src/oci/image.ts";
import { dockerClient, dockerDaemon, registryClients } from "../tools/programs.ts";
import { must, run, type Outcome } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";
import { Client } from "./harness/client.ts";
import { count, randomOf, SEED } from "./harness/counts.ts";
import { Daemon, LIGHTER } from "./harness/daemon.ts";
import { withDockerd } from "./harness/dockerd.ts";
import { figure } from "./harness/figures.ts";
import { OwnRegistry } from "./harness/own-registry.ts";
import { TestRegistry } from "./harness/registry.ts";
import { TokenServer } from "./harness/token-server.ts";
import { SLOW } from "./harness/until.ts";

let folder: string;
/** With TLS, users, rights and tokens. */
let closed: OwnRegistry;
/** Open to everybody who reaches the loopback. */
let open: OwnRegistry;
let busybox: string;
let digest: Digest;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lighter-registry-"));
  const users = join(folder, "users");
  await Bun.write(users, `alice:${(await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 })).replace("$2b$", "$2y$")}\n`);
  await Bun.write(join(folder, "rights"), "anonymous public/** pull\nalice ** *\n");
  // What of it would be the user's own.
  await Bun.write(join(folder, "policy.json"), '{"default":[{"type":"insecureAcceptAnything"}]}');
  await Bun.write(
    join(folder, "storage.conf"),
    `[storage]\ndriver = "vfs"\ngraphroot = "${folder}/graph"\nrunroot = "${folder}/graph-run"\n`,
  );
  closed = new OwnRegistry(join(folder, "closed"), ["--tls", "--tokens", "--htpasswd", users, "--rights", join(folder, "rights")]);
  open = new OwnRegistry(join(folder, "open"));
  await Promise.all([closed.start(), open.start()]);
  const image = await testImage("busybox");
  busybox = `oci:${image.layout}:latest`;
  digest = ((await Bun.file(join(image.layout, "index.json")).json()) as Index).manifests[0]?.digest ?? "sha256:";
});

afterAll(async () => {
  await closed?.[Symbol.asyncDispose]();
  await open?.[Symbol.asyncDispose]();
  await must(["sh", "-c", 'grep -o " $0/[^ ]*" /proc/self/mounts | sort -r | xargs -r umount -l', folder]).catch(() => "");
  await rm(folder, { recursive: true, force: true });
});

/** The digest under which a registry has a tag. */
async function digestAt(registry: { call: OwnRegistry["call"] }, reference: string): Promise<string | null> {
  const [repository, tag] = reference.split(":");
  const accept = Object.values(MEDIA).join(", ");
  return (await registry.call("HEAD", `/v2/${repository}/manifests/${tag}`, { headers: { accept } })).headers.get("docker-content-digest");
}

async function token(...scopes: string[]): Promise<Record<string, string>> {
  const query = new URLSearchParams(scopes.map((scope): [string, string] => ["scope", scope]));
  const headers = { authorization: `Basic ${Buffer.from("alice:secret").toString("base64")}` };
  const response = await closed.call("GET", `/token?${query}`, { headers });
  return { authorization: `Bearer ${((await response.json()) as { token: string }).token}` };
}

/** Whether a program of Debian 12 finds its libraries here; on Debian 13 some do not. */
async function starts(path: string, env: Record<string, string> = {}): Promise<boolean> {
  return (await run([path, "--version"], { env })).code === 0;
}

const clients = await registryClients();
const CLIENTS_HERE = { buildah: await starts(clients.buildah, clients.env), podman: await starts(clients.podman, clients.env) };
// What dockerd runs to unpack layers finds no libraries but the system's.
const DOCKERD_HERE = await starts((await dockerDaemon()).path);

describe("its life", () => {
  test("one registry a folder; no plain door beyond the loopback; SIGTERM ends it well; every request is in the log", async () => {
    await using registry = new OwnRegistry(join(folder, "life"));
    await registry.start();
    const second = await run([LIGHTER, "registry", "serve", "--addr", "127.0.0.1:0", "--data", registry.data]);
    expect([second.code, second.stderr]).toEqual([1, `Cannot serve the registry in "${registry.data}": another process is using it\n`]);
    const far = await run([LIGHTER, "registry", "serve", "--addr", "0.0.0.0:0", "--data", join(folder, "far")]);
    expect([far.code, far.stderr]).toEqual([1, expect.stringContaining("insist with --tls=false")]);
    const taken = await run([LIGHTER, "registry", "serve", "--addr", registry.host, "--data", join(folder, "far")]);
    expect([taken.code, taken.stderr]).toEqual([1, `Cannot listen on "${registry.host}": it is in use\n`]);
    await registry.call("GET", "/v2/some/thing/tags/list");
    expect(await registry.end()).toBe(0);
    expect(await registry.log).toMatch(/method=GET path=\/v2\/some\/thing\/tags\/list status=404 route=tags client=127\.0\.0\.1/);
  });
});

describe("programs no one here wrote, over TLS with tokens", () => {
  const environment = async (): Promise<Record<string, string>> => ({
    ...(await registryClients()).env,
    HOME: folder,
    XDG_RUNTIME_DIR: folder,
    CONTAINERS_STORAGE_CONF: join(folder, "storage.conf"),
    CONTAINERS_REGISTRIES_CONF: "/dev/null",
  });
  const program = async (...command: string[]): Promise<string> =>
    (await must(command, { env: await environment(), timeout: 60_000 * SLOW })).trim();

  test("skopeo", async () => {
    const certificates = closed.certificates;
    await program(
      "skopeo",
      "copy",
      "-q",
      "--dest-creds=alice:secret",
      `--dest-cert-dir=${certificates}`,
      busybox,
      `docker://${closed.host}/public/skopeo:1`,
    );
    const inspect = (...args: string[]): Promise<string> =>
      program("skopeo", "inspect", `--cert-dir=${certificates}`, "--format={{.Digest}}", ...args);
    expect(await inspect(`docker://${closed.host}/public/skopeo:1`)).toBe(digest);
    const other = [
      "skopeo",
      "copy",
      "-q",
      "--dest-creds=alice:wrong",
      `--dest-cert-dir=${certificates}`,
      busybox,
      `docker://${closed.host}/public/skopeo:2`,
    ];
    expect((await run(other, { env: await environment() })).stderr).toContain("invalid username/password");
    const tags = await program("skopeo", "list-tags", `--cert-dir=${certificates}`, `docker://${closed.host}/public/skopeo`);
    expect((JSON.parse(tags) as { Tags: string[] }).Tags).toEqual(["1"]);
    await program("skopeo", "delete", "--creds=alice:secret", `--cert-dir=${certificates}`, `docker://${closed.host}/public/skopeo:1`);
    expect((await closed.call("HEAD", "/v2/public/skopeo/manifests/1")).status).toBe(404);
  });

  for (const name of ["buildah", "podman"] as const) {
    test.skipIf(!CLIENTS_HERE[name])(name, async () => {
      const from = `${closed.host}/public/for-${name}:1`;
      const to = `${closed.host}/public/by-${name}:1`;
      await program(
        "skopeo",
        "copy",
        "-q",
        "--dest-creds=alice:secret",
        `--dest-cert-dir=${closed.certificates}`,
        busybox,
        `docker://${from}`,
      );
      const path = (await registryClients())[name];
      const flags = ["-q", `--signature-policy=${join(folder, "policy.json")}`, `--cert-dir=${closed.certificates}`];
      await program(path, "pull", ...flags, `docker://${from}`);
      await program(path, "push", ...flags, "--creds=alice:secret", from, `docker://${to}`);
      // What it pushes is packed anew: the configuration, and so all that is in it, is the same.
      const config = async (reference: string): Promise<string> => {
        const response = await closed.call("GET", `/v2/${reference}/manifests/1`, {
          headers: { accept: `${MEDIA.ociManifest}, ${MEDIA.dockerManifest}` },
        });
        return ((await response.json()) as { config: { digest: string } }).config.digest;
      };
      expect(await config(`public/by-${name}`)).toBe(await config(`public/for-${name}`));
      expect((await run([path, "push", ...flags, from, `docker://${to}2`], { env: await environment() })).code).not.toBe(0);
    });
  }

  test("oras: artifacts, what is attached to them, and copies of both", async () => {
    const { oras } = await registryClients();
    await Bun.write(join(folder, "hello.txt"), "hello\n");
    const flags = ["--ca-file", join(closed.certificates, "ca.crt"), "-u", "alice", "-p", "secret"];
    const run = (...args: string[]): Promise<string> =>
      must([oras, ...args], { env: { HOME: folder }, cwd: folder, timeout: 60_000 * SLOW });
    const from = `${closed.host}/artifacts/a:1`;
    await run("push", ...flags, "--artifact-type", "application/vnd.test", from, "hello.txt");
    await run("attach", ...flags, "--artifact-type", "application/vnd.signature", from, "hello.txt:text/plain");
    expect(await run("discover", ...flags, from)).toContain("application/vnd.signature");
    const sides = flags.map((flag) =>
      flag === "-u" ? "--from-username" : flag === "-p" ? "--from-password" : flag === "--ca-file" ? "--from-ca-file" : flag,
    );
    const target = flags.map((flag) =>
      flag === "-u" ? "--to-username" : flag === "-p" ? "--to-password" : flag === "--ca-file" ? "--to-ca-file" : flag,
    );
    await run("cp", "-r", ...sides, ...target, from, `${closed.host}/artifacts/b:1`);
    expect(await run("discover", ...flags, `${closed.host}/artifacts/b:1`)).toContain("application/vnd.signature");
    await run("pull", ...flags, "-o", join(folder, "pulled"), `${closed.host}/artifacts/b:1`);
    expect(await Bun.file(join(folder, "pulled/hello.txt")).text()).toBe("hello\n");
    expect(await run("repo", "ls", ...flags, closed.host)).toContain("artifacts/b");
    await run("manifest", "delete", "-f", ...flags, from);
    expect((await closed.call("HEAD", "/v2/artifacts/a/manifests/1", { headers: await token("repository:artifacts/a:pull") })).status).toBe(
      404,
    );
  });
});

describe("docker's own daemon", () => {
  test.skipIf(!DOCKERD_HERE)(
    "push and pull, signed in",
    async () => {
      const users = new OwnRegistry(join(folder, "users-only"), ["--tokens", "--htpasswd", join(folder, "users")]);
      await using registry = users;
      await registry.start();
      await withDockerd({ root: join(folder, "dockerd"), storage: "vfs" }, (docker) => pushAndPull(docker, registry));
    },
    120_000,
  );
});

/** Signs in, pushes busybox, removes it, pulls it: the same image comes back. Without the login nothing goes. */
async function pushAndPull(docker: Client, registry: OwnRegistry): Promise<void> {
  const reference = `${registry.host}/team/busybox:1`;
  await docker.must("load", "-q", "-i", (await testImage("busybox")).archive);
  await docker.must("tag", "busybox", reference);
  const refused = await docker.run(["push", reference]);
  expect([refused.code, refused.stdout + refused.stderr]).toEqual([1, expect.stringMatching(/unauthorized|denied|no basic auth/)]);
  const wrong = await docker.run(["login", "-u", "alice", "--password-stdin", registry.host], { stdin: "wrong" });
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/unauthorized/i)]);
  const login: Outcome = await docker.run(["login", "-u", "alice", "--password-stdin", registry.host], { stdin: "secret" });
  expect([login.code, login.stdout]).toEqual([0, expect.stringContaining("Login Succeeded")]);
  const pushed = /digest: (sha256:[0-9a-f]{64})/.exec(await docker.must("push", reference))?.[1];
  await docker.must("rmi", "-f", reference, "busybox");
  expect(await docker.must("pull", reference)).toContain(`Digest: ${pushed}`);
  await docker.must("logout", registry.host);
  expect((await docker.run(["pull", reference])).code).toBe(1);
}

describe("in the daemon", () => {
  test("daemon.json opens it; pushes share the engine's blobs; each client signs in, pushes and pulls", async () => {
    const registry = new OwnRegistry(join(folder, "unused"));
    const settings = { registry: { addr: registry.host, auth: { htpasswd: join(folder, "users"), tokens: true } } };
    await Bun.write(join(folder, "daemon.json"), JSON.stringify(settings));
    const daemon = new Daemon(join(folder, "daemon"), ["--config-file", join(folder, "daemon.json")]);
    await daemon.start();
    try {
      for (const name of ["lighter", "docker 20.10", "docker 26.1"] as const) {
        const program = name === "lighter" ? LIGHTER : await dockerClient(name === "docker 20.10" ? "bookworm" : "trixie");
        const config = join(folder, `config-${name.replace(" ", "-")}`);
        await pushAndPull(
          new Client(name, program, { DOCKER_HOST: `unix://${daemon.socket}`, DOCKER_CONFIG: config, HOME: folder }),
          registry,
        );
      }
      const blobs = await must(["sh", "-c", 'ls "$0" | wc -l', join(daemon.dataRoot, "content/blobs/sha256")]);
      const largest = (await must(["sh", "-c", 'find "$0" -size +1000k | wc -l', join(daemon.dataRoot, "content/blobs/sha256")])).trim();
      expect([Number(blobs) > 0, largest]).toEqual([true, "1"]);
    } finally {
      await daemon[Symbol.asyncDispose]();
    }
  }, 120_000);
});

test("a token server of another's: skopeo signs in there; our registry takes its tokens", async () => {
  await mkdir(join(folder, "issuer"), { recursive: true });
  await using server = await TokenServer.start(join(folder, "issuer"), { name: "dora", password: "tokens" });
  const { token: settings } = server.auth as { token: object };
  await Bun.write(join(folder, "issuer.json"), JSON.stringify({ auth: { tokens: settings } }));
  await using registry = new OwnRegistry(join(folder, "issued"), ["--config", join(folder, "issuer.json")]);
  await registry.start();
  const copy = (...flags: string[]): Promise<Outcome> =>
    run(["skopeo", "copy", "-q", "--dest-tls-verify=false", ...flags, busybox, `docker://${registry.host}/team/app:1`], {
      env: { HOME: folder },
    });
  expect((await copy()).code).toBe(1);
  expect((await copy("--dest-creds=dora:wrong")).code).toBe(1);
  expect(await copy("--dest-creds=dora:tokens")).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(server.asked).toContainEqual(expect.stringMatching(/repository:team\/app:.*push.* dora$/));
  const inspect = ["skopeo", "inspect", "--tls-verify=false", "--format={{.Digest}}", `docker://${registry.host}/team/app:1`];
  expect((await must(inspect, { env: { HOME: folder } })).trim()).toBe(digest);
});

test("in a ring: our registry, docker-registry, an OCI layout, our registry; no digest changes", async () => {
  await using other = await TestRegistry.start(join(folder, "other"));
  // An index of two platforms, so that what is copied is more than one manifest.
  const layered = (await testImage("layered")).layout;
  for (const [layout, tag] of [
    [busybox, "one"],
    [`oci:${layered}:latest`, "two"],
  ] as const)
    await must(["skopeo", "copy", "-q", "--dest-tls-verify=false", layout, `docker://${open.host}/ring/start:${tag}`]);
  const manifests = await Promise.all(
    (["one", "two"] as const).map(async (tag, index) => {
      const text = await (await open.call("GET", `/v2/ring/start/manifests/${tag}`)).text();
      return {
        mediaType: MEDIA.ociManifest,
        digest: digestOf(text),
        size: text.length,
        platform: { os: "linux", architecture: ["amd64", "arm64"][index] },
      };
    }),
  );
  const index = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests });
  const put = await open.call("PUT", "/v2/ring/start/manifests/all", { body: index, headers: { "content-type": MEDIA.ociIndex } });
  expect([put.status, put.headers.get("docker-content-digest")]).toEqual([201, digestOf(index)]);
  const layout = `oci:${join(folder, "ring")}:all`;
  const stations = [
    `docker://${open.host}/ring/start:all`,
    `docker://${other.host}/ring:all`,
    layout,
    `docker://${open.host}/ring/end:all`,
  ];
  for (const [at, from] of stations.slice(0, -1).entries()) {
    const flags = ["--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"];
    await must(["skopeo", "copy", "-q", ...flags, from, stations[at + 1] ?? ""], { timeout: 60_000 * SLOW });
  }
  expect(await digestAt(open, "ring/end:all")).toBe(digestOf(index));
  for (const { digest: each } of manifests) expect((await open.call("HEAD", `/v2/ring/end/manifests/${each}`)).status).toBe(200);
});

test(`kill -9 in the middle of uploads (seed ${SEED}): what was acknowledged is whole, what was not is whole or not there`, async () => {
  await using registry = new OwnRegistry(join(folder, "killed"), ["--log-level", "error"]);
  const random = randomOf();
  const acknowledged = new Set<Digest>();
  const attempted = new Set<Digest>();
  let resumed = 0;
  for (let round = 0; round < count(6, 200); round++) {
    await registry.start();
    const kill = Bun.sleep(random() * 120).then(() => registry.end("SIGKILL"));
    const blobs = Array.from({ length: 3 }, (_, index) => blobOf(round * 3 + index, Math.floor(random() * 1_500_000)));
    const locations: [string, Uint8Array<ArrayBuffer>][] = [];
    await Promise.all(
      blobs.map(async (bytes) => {
        const name = digestOf(bytes);
        attempted.add(name);
        try {
          const location = (await registry.call("POST", "/v2/killed/blobs/uploads/")).headers.get("location") ?? "";
          locations.push([location, bytes]);
          for (let at = 0; at < bytes.length; at += 200_000)
            await registry.call("PATCH", location, { body: bytes.slice(at, at + 200_000) });
          if ((await registry.call("PUT", `${location}?digest=${name}`)).status === 201) acknowledged.add(name);
        } catch {
          // The registry was killed: what it had said until then is what counts.
        }
      }),
    );
    await kill;
    await registry.start();
    for (const bytes of blobs) await checkBlob(registry, digestOf(bytes), acknowledged.has(digestOf(bytes)));
    for (const [location, bytes] of locations) if (await goOn(registry, location, bytes)) resumed++;
    expect(await registry.end()).toBe(0);
  }
  await registry.start();
  for (const name of attempted) await checkBlob(registry, name, acknowledged.has(name));
  const told = `${attempted.size} uploads, ${acknowledged.size} acknowledged before the kill, ${resumed} went on after it; none lost, none wrong`;
  await figure("registry", `kill -9 of the registry in the middle of uploads, ${count(6, 200)} times`, told);
}, 600_000);

/** Bytes that are nobody else's. */
function blobOf(number: number, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size + 16).fill(number % 251);
  bytes.set(new TextEncoder().encode(`blob ${number} of ${SEED}`.slice(0, 16)));
  return bytes;
}

async function checkBlob(registry: OwnRegistry, name: Digest, must: boolean): Promise<void> {
  const response = await registry.call("GET", `/v2/killed/blobs/${name}`);
  if (must) expect(response.status).toBe(200);
  if (response.status === 200) expect(digestOf(await response.bytes())).toBe(name);
  else expect(response.status).toBe(404);
}

/** Goes on with an upload from where it stands, and closes it. */
async function goOn(registry: OwnRegistry, location: string, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const status = await registry.call("GET", location);
  if (status.status === 404) return false;
  const last = Number(status.headers.get("range")?.split("-")[1] ?? 0);
  const at = last === 0 ? 0 : last + 1;
  const name = digestOf(bytes);
  const headers = at < bytes.length ? { "content-range": `${at}-${bytes.length - 1}` } : {};
  const done = await registry.call("PUT", `${location}?digest=${name}`, {
    body: bytes.slice(at),
    headers: headers as Record<string, string>,
  });
  expect(done.status).toBe(201);
  await checkBlob(registry, name, true);
  return true;
}
