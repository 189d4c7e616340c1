/** Volumes to a registry and back: trees, parts, refusals, passwords, what breaks off. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, chown, copyFile, link, mkdir, open, readdir, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setXattrFd } from "../src/linux/files.ts";
import { must } from "../tools/shell.ts";
import { Ground } from "./harness/ground.ts";
import { OwnRegistry } from "./harness/own-registry.ts";
import { TestRegistry } from "./harness/registry.ts";
import { SlowLine } from "./harness/slow-line.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
let own: OwnRegistry;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  own = new OwnRegistry(ground.path("own"));
  await own.start();
});
afterAll(async () => {
  await own?.[Symbol.asyncDispose]();
  await ground?.[Symbol.asyncDispose]();
});

const dataOf = (volume: string): string => join(ground.daemon.dataRoot, "volumes", volume, "_data");

/** What is below a folder, byte by byte: the archives of two that are alike are alike. */
async function sumOf(folder: string): Promise<string> {
  const pack =
    'tar -C "$0" --sort=name --xattrs --xattrs-include="*" --numeric-owner --format=posix --pax-option=delete=atime,delete=ctime -c .';
  return await must(["sh", "-c", `${pack} | sha256sum`, folder]);
}

/** A volume with everything a file system knows, some of it large and of noise, in about four parts. */
async function fill(volume: string): Promise<void> {
  await ground.lighter.must("volume", "create", "--label", "a=b", volume);
  const at = (...path: string[]): string => join(dataOf(volume), ...path);
  await mkdir(at("noise"));
  for (let index = 0; index < 24; index++)
    await writeFile(
      at("noise", `${index}`),
      crypto
        .getRandomValues(new Uint8Array(1 << 16))
        .toHex()
        .repeat(32)
        .slice(0, 4_000_000 + index),
    );
  await writeFile(at("one"), "one\n");
  await link(at("one"), at("z-linked"));
  await symlink("../../etc/passwd", at("soft"));
  await mkdir(at("folder", "deep"), { recursive: true });
  await copyFile(at("one"), at("folder", "deep", "copy"));
  await chown(at("folder", "deep", "copy"), 1000, 70_000);
  await chmod(at("folder", "deep", "copy"), 0o6751);
  const file = await open(at("one"), "r");
  setXattrFd(file.fd, "user.mark", Buffer.from([0, 255, 10]));
  await file.close();
  await must(["mknod", at("null"), "c", "1", "3"]);
  await must(["mkfifo", at("pipe")]);
  await must(["truncate", "-s", "20M", at("hole")]);
  await utimes(at("folder", "deep"), 1_000_000_000, 1_000_000_000);
  await chmod(dataOf(volume), 0o1777);
}

test("a volume comes back as it was, from Debian's registry and ours; parts that did not change are not sent again", async () => {
  const { lighter } = ground;
  await fill("origin");
  const before = await sumOf(dataOf("origin"));
  const shape = "{{json .Labels}} {{json .Options}} {{.Driver}}";
  for (const host of [ground.registry.host, own.host]) {
    const name = `${host}/volumes/origin`;
    const first = await lighter.must("volume", "push", "origin", `${name}:1`);
    expect(first).toStartWith(`The push refers to repository [${name}]\n`);
    expect(first).toMatch(/\n1: digest: sha256:[0-9a-f]{64} size: \d+$/);
    const parts = first.match(/: Pushed(?=\n)/g)?.length ?? 0;
    expect(parts).toBeGreaterThan(2);
    expect(await lighter.must("volume", "push", "-q", "origin", `${name}:2`)).toBe(`${name}:2`);
    await writeFile(join(dataOf("origin"), "z-new"), "new");
    const again = await lighter.must("volume", "push", "origin", `${name}:3`);
    expect([again.match(/: Pushed(?=\n)/g)?.length, again.match(/: Layer already exists(?=\n)/g)?.length]).toEqual([2, parts - 2]);
    await rm(join(dataOf("origin"), "z-new"));

    const into = `from-${parts}-${host.split(":")[1]}`;
    const pulled = await lighter.must("volume", "pull", `${name}:2`, into);
    expect(pulled).toMatch(new RegExp(`^2: Pulling from ${name}\n`));
    expect(pulled.split("\n").at(-1)).toBe(into);
    expect(await lighter.must("volume", "inspect", "-f", shape, into)).toBe(await lighter.must("volume", "inspect", "-f", shape, "origin"));
    await utimes(dataOf("origin"), 5, 5);
    await utimes(dataOf(into), 5, 5);
    expect(await sumOf(dataOf(into))).toBe(await sumOf(dataOf("origin")));
    expect((await must(["du", "-s", join(dataOf(into), "hole")])).split("\t")[0]).toBe("0");
    await lighter.must("volume", "rm", into);
  }
  expect(before).not.toBe("");
  expect((await readdir(join(ground.daemon.dataRoot, "volumes"))).filter((name) => name.startsWith("."))).toEqual([]);
});

test("what another program carried elsewhere is the same volume", async () => {
  const { lighter } = ground;
  await lighter.must("volume", "create", "--label", "carried=yes", "carried");
  await writeFile(join(dataOf("carried"), "file"), "content");
  await lighter.must("volume", "push", "carried", `${own.host}/carried`);
  const [from, to] = [`docker://${own.host}/carried:latest`, `docker://${ground.registry.host}/moved:latest`];
  await must(["skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", from, to]);
  const { artifactType, config } = JSON.parse(await must(["skopeo", "inspect", "--raw", "--tls-verify=false", to])) as {
    artifactType: string;
    config: { mediaType: string };
  };
  expect([artifactType, config.mediaType]).toEqual(["application/vnd.lighter.volume.v1", "application/vnd.lighter.volume.config.v1+json"]);
  await lighter.must("volume", "rm", "carried");
  expect((await lighter.must("volume", "pull", "-q", `${ground.registry.host}/moved`)).trim()).toBe("carried");
  expect(await Bun.file(join(dataOf("carried"), "file")).text()).toBe("content");
  expect(await lighter.must("volume", "inspect", "-f", "{{.Labels.carried}}", "carried")).toBe("yes");
});

test("files of one moment while a container writes", async () => {
  const { lighter } = ground;
  const write = "i=0; while :; do i=$((i+1)); for f in a b; do echo $i > /v/new; mv /v/new /v/$f; done; done";
  await lighter.must("run", "-d", "--name", "writer", "-v", "busy:/v", "busybox", "sh", "-c", write);
  await until("it has written", async () => (await lighter.run(["exec", "writer", "cat", "/v/b"])).code === 0);
  await lighter.must("volume", "push", "-q", "--pause", "busy", `${own.host}/busy`);
  expect(await lighter.must("inspect", "-f", "{{.State.Status}}", "writer")).toBe("running");
  await lighter.must("rm", "-f", "writer");
  await lighter.must("volume", "pull", "-q", `${own.host}/busy`, "moment");
  const [a = 0, b = -9] = await Promise.all(["a", "b"].map(async (name) => Number(await Bun.file(join(dataOf("moment"), name)).text())));
  expect(a - b === 0 || a - b === 1).toBe(true);
});

test("what is there stays unless it is said; what is in use stays", async () => {
  const { lighter } = ground;
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await lighter.run(["volume", ...args]);
    expect(code).toBe(1);
    return stderr;
  };
  await lighter.must("volume", "create", "given");
  await writeFile(join(dataOf("given"), "file"), "given");
  const name = `${own.host}/given`;
  await lighter.must("volume", "push", "-q", "given", name);
  await lighter.must("volume", "create", "--label", "mine=1", "target");
  await lighter.must("volume", "pull", "-q", name, "target");
  expect(await lighter.must("volume", "inspect", "-f", "{{.Labels.mine}}", "target")).toBe("1");
  await writeFile(join(dataOf("target"), "more"), "");
  expect(await refused("pull", name, "target")).toContain('Cannot pull into the volume "target": it has files already; --force');
  await lighter.must("volume", "pull", "-q", "--force", name, "target");
  expect(await readdir(dataOf("target"))).toEqual(["file"]);
  await lighter.must("create", "--name", "user", "-v", "target:/v", "busybox");
  expect(await refused("pull", "--force", name, "target")).toContain("volume is in use - [");
  await lighter.must("rm", "user");

  expect(await refused("pull", `${ground.registry.host}/busybox`)).toContain('it is no volume that "volume push" sent');
  expect(await refused("pull", `${own.host}/nowhere`)).toMatch(/not found|unknown/);
  expect(await refused("push", "missing", name)).toContain("no such volume");
  expect(await refused("push", "given", "BAD NAME")).toContain("invalid reference format");
  expect(await refused("push", "given", `${own.host}/x@sha256:${"0".repeat(64)}`)).toContain("cannot push a digest reference");
  expect(await refused("pull", name, "../up")).toContain("invalid characters");
  expect(await refused("pull", "127.0.0.1:1/nobody")).toContain("connection refused");
  const { code, stderr } = await lighter.run(["pull", name]);
  expect([code, stderr.includes("application/vnd.lighter.volume.v1")]).toEqual([1, true]);
});

test("a registry that asks who it is", async () => {
  const { lighter } = ground;
  const users = ground.path("htpasswd");
  await writeFile(users, `me:${await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 })}\n`);
  const closed = await TestRegistry.start(ground.path("closed"), { auth: { htpasswd: { realm: "test", path: users } } });
  try {
    await lighter.must("volume", "create", "private");
    await writeFile(join(dataOf("private"), "file"), "private");
    const name = `${closed.host}/private`;
    expect((await lighter.run(["volume", "push", "private", name])).stderr).toContain("no basic auth credentials");
    await lighter.must("login", "-u", "me", "-p", "secret", closed.host);
    await lighter.must("volume", "push", "-q", "private", name);
    await lighter.must("volume", "pull", "-q", name, "known");
    await lighter.must("logout", closed.host);
    expect((await lighter.run(["volume", "pull", name, "unknown"])).stderr).toContain("no basic auth credentials");
  } finally {
    await closed[Symbol.asyncDispose]();
  }
});

test("a pull that breaks off leaves nothing: client gone, daemon killed, wrong bytes", async () => {
  const { lighter } = ground;
  const volumes = join(ground.daemon.dataRoot, "volumes");
  const hidden = async (): Promise<string[]> => (await readdir(volumes)).filter((name) => name.startsWith("."));
  await using line = await SlowLine.to(own.host, 300_000);
  const args = ["volume", "pull", `${line.host}/volumes/origin:1`, "half"];
  for (const end of ["client", "daemon"]) {
    const client = lighter.spawn(args);
    await until("its files are coming", async () => (await hidden()).some((name) => name.startsWith(".draft-")));
    if (end === "client") client.kill("SIGINT");
    else {
      await ground.daemon.end("SIGKILL");
      await ground.daemon.start();
    }
    await client.exited;
    await until("nothing is left", async () => (await hidden()).length === 0);
    expect((await lighter.run(["volume", "inspect", "half"])).code).toBe(1);
  }

  await lighter.must("volume", "pull", "-q", `${own.host}/carried`, "whole");
  const { layers } = (await (await own.call("GET", "/v2/carried/manifests/latest")).json()) as { layers: { digest: string }[] };
  const blob = join(own.data, "content/blobs/sha256", layers[0]?.digest.slice(7) ?? "");
  const bytes = await Bun.file(blob).bytes();
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  await writeFile(blob, bytes);
  const { code, stderr } = await lighter.run(["volume", "pull", `${own.host}/carried`, "half"]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/another digest|Cannot decompress/)]);
  expect((await lighter.run(["volume", "inspect", "half"])).code).toBe(1);
  expect(await hidden()).toEqual([]);
});
