/** Push: texts, mounts, indexes, all tags, refusals, TLS and passwords, connections that break; to Debian's registry and to our own. Deadline: 180 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { digestOf, hexOf } from "../src/oci/digest.ts";
import { MEDIA, type Descriptor, type Index, type Manifest } from "../src/oci/image.ts";
import { dockerRegistry } from "../tools/programs.ts";
import { must } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";
import { LIGHTER } from "./harness/daemon.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { freePort } from "./harness/ports.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
const children: Bun.Subprocess[] = [];
beforeAll(async () => void (ground = await Ground.lay(["busybox", "layered"])));
afterAll(async () => {
  for (const child of children) child.kill("SIGTERM");
  await Promise.all(children.map((child) => child.exited));
  await ground?.[Symbol.asyncDispose]();
});

/** What a registry has under a name. */
async function remote(reference: string, host = ground.registry.host): Promise<{ digest: string; document: Manifest & Index }> {
  const accept = [MEDIA.ociIndex, MEDIA.ociManifest, MEDIA.dockerManifest, MEDIA.dockerIndex].join(", ");
  const [repository, tag = "latest"] = reference.split(":");
  const answer = await fetch(`http://${host}/v2/${repository}/manifests/${tag}`, { headers: { accept } });
  if (!answer.ok) throw new Error(`${reference}: ${answer.status}`);
  const bytes = await answer.bytes();
  return { digest: digestOf(bytes), document: JSON.parse(new TextDecoder().decode(bytes)) as Manifest & Index };
}

for (const name of CLIENTS) {
  const own = `${name.replaceAll(/[ .]/g, "")}`;

  test(`${name}: push says what docker says; what is there is not sent, and what is elsewhere in the registry is mounted`, async () => {
    const client = ground.client(name);
    const { host } = ground.registry;
    // From where nothing of it came: a registry that the store knows nothing of.
    await client.must("tag", "layered", `${host}/${own}/one`);
    const first = await client.must("push", `${host}/${own}/one`);
    const id = await client.must("inspect", "-f", "{{.Id}}", "layered");
    expect(first).toStartWith(`Using default tag: latest\nThe push refers to repository [${host}/${own}/one]\n`);
    expect(first).toMatch(/\n[0-9a-f]{12}: Preparing\n/);
    expect(first).toMatch(/: Mounted from (layered|[\w/]+\/one|[\w/]+\/two)\n/);
    expect(first.split("\n").at(-1)).toMatch(new RegExp(`^latest: digest: ${id} size: \\d+$`));
    const again = await client.must("push", `${host}/${own}/one`);
    expect(again).not.toMatch(/Pushed|Mounted/);
    expect(again.match(/: Layer already exists(?=\n)/g)?.length).toBe(7);
    expect((await remote(`${own}/one`)).digest).toBe(id);
    // Under another registry's name the store knows no source.
    const other = await registry({});
    await client.must("tag", "layered", `${other}/fresh`);
    expect((await client.must("push", `${other}/fresh`)).match(/: Pushed(?=\n)/g)?.length).toBe(7);
    await client.must("rmi", `${other}/fresh`, `${host}/${own}/one`);
  });

  test(`${name}: all tags, quietly, and what cannot be pushed`, async () => {
    const client = ground.client(name);
    const { host } = ground.registry;
    for (const tag of ["1", "2"]) await client.must("tag", "busybox", `${host}/${own}/many:${tag}`);
    const said = await client.must("push", "--all-tags", `${host}/${own}/many`);
    for (const tag of ["1", "2"]) expect(said).toMatch(new RegExp(`^${tag}: digest: sha256:[0-9a-f]{64} size: \\d+$`, "m"));
    expect((await remote(`${own}/many:1`)).digest).toBe((await remote(`${own}/many:2`)).digest);
    expect(await client.must("push", "-q", `${host}/${own}/many:1`)).toBe(`${host}/${own}/many:1`);
    const failing = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await client.run(["push", ...args]);
      expect(code).toBe(1);
      return `${stdout}${stderr}`;
    };
    expect(await failing(`${host}/none`)).toBe(
      `Using default tag: latest\nThe push refers to repository [${host}/none]\ntag does not exist: ${host}/none:latest\n`,
    );
    expect(await failing("-a", `${host}/none`)).toContain(`An image does not exist locally with the tag: ${host}/none`);
    expect(await failing(`${host}/none@sha256:${"0".repeat(64)}`)).toContain("cannot push a digest reference");
    expect(await failing("-a", `${host}/none:1`)).toContain("tag can't be used with --all-tags/-a");
    await client.must("rmi", `${host}/${own}/many:1`, `${host}/${own}/many:2`);
  });
}

/** A copy of a layout whose image is there for two platforms. */
async function twoPlatforms(): Promise<string> {
  const { layout } = await testImage("layered");
  const folder = ground.path("two");
  await must(["cp", "-r", layout, folder]);
  const put = async (document: object, mediaType: string): Promise<Descriptor> => {
    const bytes = new TextEncoder().encode(JSON.stringify(document));
    await Bun.write(`${folder}/blobs/sha256/${hexOf(digestOf(bytes))}`, bytes);
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const read = async <T>(digest: Descriptor["digest"]): Promise<T> =>
    (await Bun.file(`${folder}/blobs/sha256/${hexOf(digest)}`).json()) as T;
  const index = (await Bun.file(`${folder}/index.json`).json()) as Index;
  const native = index.manifests[0] as Descriptor;
  const manifest = await read<Manifest>(native.digest);
  const config = { ...(await read<object>(manifest.config.digest)), architecture: "s390x" };
  const foreign = await put({ ...manifest, config: await put(config, manifest.config.mediaType) }, native.mediaType);
  const { mediaType, digest, size } = native;
  const architecture = process.arch === "x64" ? "amd64" : "arm64";
  const both = await put(
    {
      schemaVersion: 2,
      mediaType: MEDIA.ociIndex,
      manifests: [
        { mediaType, digest, size, platform: { os: "linux", architecture } },
        { ...foreign, platform: { os: "linux", architecture: "s390x" } },
      ],
    },
    MEDIA.ociIndex,
  );
  await Bun.write(`${folder}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: [both] }));
  return folder;
}

test("an index goes with all its platforms where they are here, else the one that is, with a note", async () => {
  const { host } = ground.registry;
  const digest = await ground.registry.push(await twoPlatforms(), "multi/from");
  await ground.lighter.must("pull", "-q", `${host}/multi/from`);
  await ground.lighter.must("tag", `${host}/multi/from`, `${host}/multi/to`);
  const part = await ground.daemon.api("POST", `/images/${host}/multi/to/push?tag=latest`, { headers: { "x-registry-auth": "e30=" } });
  const messages = (await part.text())
    .trim()
    .split(/\r?\n/)
    .map((line) => JSON.parse(line) as { aux?: Record<string, unknown> });
  const note = messages.find(({ aux }) => aux?.["manifestPushedInsteadOfIndex"] === true)?.aux;
  expect(note).toMatchObject({
    originalIndex: { digest, mediaType: MEDIA.ociIndex },
    selectedManifest: { digest: (await remote("multi/to")).digest },
  });
  expect((await remote("multi/to")).document.layers?.length).toBe(7);
  expect(await ground.lighter.must("push", `${host}/multi/to`)).toContain(
    " Info -> Not all multiplatform-content is present and only the available single-platform image was pushed\n",
  );

  await ground.lighter.must("pull", "-q", "--platform", "linux/s390x", `${host}/multi/from`);
  await ground.lighter.must("tag", `${host}/multi/from`, `${host}/multi/to`);
  await ground.lighter.must("push", `${host}/multi/to`);
  expect((await remote("multi/to")).digest).toBe(digest);
  await ground.lighter.must("push", "--platform", "linux/s390x", `${host}/multi/to`);
  expect((await remote("multi/to")).digest).toBe((await remote("multi/from")).document.manifests[1]?.digest as string);
  const { code, stderr } = await ground.lighter.run(["push", "--platform", "linux/riscv64", `${host}/multi/to`]);
  expect(code).toBe(1);
  expect(stderr).toContain("does not provide the specified platform (linux/riscv64)");
  const events = await ground.lighter.must(
    "events",
    "--since",
    "1m",
    "--until",
    "0s",
    "--filter",
    "event=push",
    "--format",
    "{{.Actor.ID}}",
  );
  expect(events.split("\n").at(-1)).toBe(`${host}/multi/to:latest`);
});

/** Debian's registry with further settings; its address. */
async function registry(settings: { auth?: object; http?: object }): Promise<string> {
  const host = `127.0.0.1:${freePort()}`;
  const folder = ground.path(`registry-${host.split(":")[1]}`);
  await mkdir(folder);
  const { http, ...rest } = settings;
  const config = {
    version: "0.1",
    log: { level: "warn" },
    storage: { filesystem: { rootdirectory: folder } },
    http: { addr: host, ...http },
    ...rest,
  };
  await Bun.write(`${folder}/config.yml`, JSON.stringify(config)); // JSON is YAML
  const log = Bun.file(`${folder}/log`);
  children.push(Bun.spawn([await dockerRegistry(), "serve", `${folder}/config.yml`], { stdout: log, stderr: log }));
  const scheme = http === undefined ? "http" : "https";
  await until(
    "the registry answers",
    async () => (await fetch(`${scheme}://${host}/v2/`, { tls: { rejectUnauthorized: false } })).status < 500,
  );
  return host;
}

async function htpasswd(): Promise<string> {
  const path = ground.path("htpasswd");
  const hash = await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 });
  await Bun.write(path, `me:${hash.replace(/^\$2b/, "$2y")}\n`);
  return path;
}

async function certificate(): Promise<{ certificate: string; key: string }> {
  const [key, pem] = [ground.path("key.pem"), ground.path("cert.pem")];
  const subject = ["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"];
  await must([
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
    ...subject,
    "-keyout",
    key,
    "-out",
    pem,
  ]);
  return { certificate: pem, key };
}

/** Our own registry in a process of its own, for users with a password, over TLS. */
async function ownRegistry(): Promise<string> {
  const host = `127.0.0.1:${freePort()}`;
  const { certificate: pem, key } = await certificate();
  const log = Bun.file(ground.path("own-registry.log"));
  const flags = [
    "--addr",
    host,
    "--data",
    ground.path("own-registry"),
    "--htpasswd",
    await htpasswd(),
    "--tls",
    "--tlscert",
    pem,
    "--tlskey",
    key,
    "--tokens",
  ];
  children.push(Bun.spawn([LIGHTER, "registry", "serve", ...flags], { stdout: log, stderr: log }));
  await until(
    "the registry answers",
    async () => (await fetch(`https://${host}/v2/`, { tls: { rejectUnauthorized: false } })).status === 401,
  );
  return host;
}

test("with a password over TLS: refused without, taken with it; Debian's registry and ours", async () => {
  const debian = await registry({ auth: { htpasswd: { realm: "test", path: await htpasswd() } }, http: { tls: await certificate() } });
  for (const [host, refusal] of [
    [debian, "no basic auth credentials"],
    [await ownRegistry(), /denied: requested access to the resource is denied|unauthorized: authentication required/],
  ] as const) {
    await ground.lighter.must("tag", "layered", `${host}/secret/app:1`);
    const { code, stderr } = await ground.lighter.run(["push", `${host}/secret/app:1`]);
    expect(code).toBe(1);
    expect(stderr).toMatch(refusal);
    const login = await ground.lighter.run(["login", "-u", "me", "--password-stdin", host], { stdin: "secret" });
    expect({ code: login.code, stderr: login.stderr.includes("Error") }).toEqual({ code: 0, stderr: false });
    expect((await ground.lighter.must("push", `${host}/secret/app:1`)).match(/: Pushed(?=\n)/g)?.length).toBe(7);
    await ground.lighter.must("tag", "layered", `${host}/secret/other:1`);
    expect((await ground.lighter.must("push", `${host}/secret/other:1`)).match(/: Mounted from secret\/app(?=\n)/g)?.length).toBe(7);
    const id = await ground.lighter.must("inspect", "-f", "{{.Id}}", "layered");
    const seen = await must([
      "skopeo",
      "inspect",
      "--tls-verify=false",
      "--creds",
      "me:secret",
      "--format",
      "{{.Digest}}",
      `docker://${host}/secret/other:1`,
    ]);
    expect(seen.trim()).toBe(id);
    await ground.lighter.must("rmi", `${host}/secret/app:1`, `${host}/secret/other:1`);
  }
});

test("a push whose connections break goes on where it was, against our own registry", async () => {
  const port = freePort();
  const flags = ["--addr", `127.0.0.1:${port}`, "--data", ground.path("broken-registry")];
  const log = Bun.file(ground.path("broken-registry.log"));
  children.push(Bun.spawn([LIGHTER, "registry", "serve", ...flags], { stdout: log, stderr: log }));
  await until("the registry answers", async () => (await fetch(`http://127.0.0.1:${port}/v2/`)).ok);
  const size = 12 << 20;
  let sent = 0;
  let cuts = 4;
  // Each connection ends after so much until there have been enough of them.
  const cutter = Bun.listen<{ up: Promise<Bun.Socket>; last: Promise<unknown>; sent: number }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        const back = { data: (_: unknown, bytes: Buffer) => void socket.write(bytes), close: () => void socket.end() };
        socket.data = { up: Bun.connect({ hostname: "127.0.0.1", port, socket: back }), last: Promise.resolve(), sent: 0 };
      },
      data(socket, bytes) {
        const { data } = socket;
        data.last = data.last.then(async () => {
          const up = await data.up;
          for (let at = 0; at < bytes.length && up.readyState === 1;) {
            const taken = Math.max(0, up.write(bytes.subarray(at)));
            at += taken;
            sent += taken;
            data.sent += taken;
            if (at < bytes.length) await Bun.sleep(1);
          }
          if (data.sent < 2 << 20 || cuts <= 0) return;
          cuts--;
          up.end();
          socket.terminate();
        });
      },
      close: (socket) => void socket.data.up.then((up) => up.end()),
    },
  });
  const script = `cd "$0" && head -c ${size} /dev/urandom > random && tar -cf random.tar random`;
  await must(["sh", "-c", script, ground.folder]);
  const name = `127.0.0.1:${cutter.port}/broken`;
  await ground.lighter.must("import", ground.path("random.tar"), name);
  await ground.lighter.must("push", name);
  cutter.stop(true);
  expect(cuts).toBe(0);
  expect((await remote("broken", `127.0.0.1:${port}`)).digest).toBe(await ground.lighter.must("inspect", "-f", "{{.Id}}", name));
  expect(sent / size).toBeLessThan(1.5);
});
