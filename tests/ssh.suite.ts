/** A daemon behind ssh: a real server on loopback, Debian's docker and our client, contexts, and images that go from daemon to daemon. Deadline: 180 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { openSsh } from "../tools/openssh.ts";
import { testImage } from "../tools/test-images.ts";
import { must, run } from "../tools/shell.ts";
import { Daemon, LIGHTER } from "./harness/daemon.ts";
import { Ground, type ClientName } from "./harness/ground.ts";
import { freePort } from "./harness/ports.ts";
import { SLOW, until } from "./harness/until.ts";

let ground: Ground;
let server: Bun.Subprocess | undefined;
let url: string;
/** As `url`, through a counter of bytes. */
let counted: string;
let sent = 0;
let received = 0;
let counter: Bun.TCPSocketListener | undefined;
/** The daemon on this side; the ground's is the far one. */
let near: Daemon;
let env: Record<string, string>;

/** Users and places that a server wants and this machine may not have stand in a mount namespace of its own. */
const IN_PRIVATE = `set -e
mount -t tmpfs tmpfs /run && mkdir /run/sshd
grep -v '^sshd:' /etc/passwd | sed 's/^root:[^:]*:/root:*:/' > "$0/passwd" && echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin' >> "$0/passwd"
mount --bind "$0/passwd" /etc/passwd
exec "$@"`;

beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  const programs = await openSsh();
  const folder = ground.path("ssh");
  const [far, here] = [join(folder, "far"), join(folder, "near")];
  for (const path of [folder, far, here]) await mkdir(path);
  for (const name of ["lighter", "docker"]) await symlink(LIGHTER, join(far, name));
  for (const key of ["host", "user"])
    await must([programs.keygen, "-q", "-t", "ed25519", "-N", "", "-f", join(folder, key)], { env: programs.env });
  await must(["cp", join(folder, "user.pub"), join(folder, "authorized")]);
  // The machine's own docker is not there for the other side.
  const bin = join(folder, "bin");
  await mkdir(bin);
  for (const name of ["sh", "bash", "echo"]) await symlink(Bun.which(name) ?? name, join(bin, name));
  const port = freePort();
  const serverSettings = {
    Port: String(port),
    ListenAddress: "127.0.0.1",
    HostKey: join(folder, "host"),
    AuthorizedKeysFile: join(folder, "authorized"),
    PidFile: "none",
    PermitRootLogin: "yes",
    StrictModes: "no",
    UsePAM: "no",
    SetEnv: `PATH=${far}:/usr/sbin:/sbin:${bin} DOCKER_HOST=unix://${ground.daemon.socket}`,
  };
  await Bun.write(join(folder, "sshd_config"), settings(serverSettings));
  await Bun.write(
    join(folder, "ssh_config"),
    settings({
      IdentityFile: join(folder, "user"),
      UserKnownHostsFile: join(folder, "known"),
      StrictHostKeyChecking: "no",
      LogLevel: "ERROR",
    }),
  );
  await Bun.write(
    join(here, "ssh"),
    `#!/bin/sh\nLD_LIBRARY_PATH=${programs.env["LD_LIBRARY_PATH"]} exec ${programs.ssh} -F ${join(folder, "ssh_config")} "$@"\n`,
  );
  await chmod(join(here, "ssh"), 0o755);
  const log = Bun.file(join(folder, "sshd.log"));
  const unshared = ["unshare", "--mount", "--propagation", "private", "sh", "-c", IN_PRIVATE, folder];
  server = Bun.spawn([...unshared, programs.sshd, "-D", "-e", "-f", join(folder, "sshd_config")], {
    env: { ...process.env, ...programs.env },
    stdout: log,
    stderr: log,
  });
  url = `ssh://root@127.0.0.1:${port}`;
  counter = countTo(port);
  counted = `ssh://root@127.0.0.1:${counter.port}`;
  env = { PATH: `${here}:${process.env["PATH"]}` };
  await until("ssh answers", async () => {
    try {
      return (await must([join(here, "ssh"), "-p", String(port), "root@127.0.0.1", "echo here"])) === "here\n";
    } catch (cause) {
      throw new Error(`${String(cause)}\n${await log.text()}`, { cause });
    }
  });
});
afterAll(async () => {
  await near?.[Symbol.asyncDispose]();
  counter?.stop(true);
  server?.kill("SIGTERM");
  await server?.exited;
  await ground?.[Symbol.asyncDispose]();
});

function settings(values: Record<string, string>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value}\n`)
    .join("");
}

/** A port that leads to another one, and counts what goes there. */
function countTo(port: number): Bun.TCPSocketListener {
  return Bun.listen<{ far: Promise<Bun.Socket>; last: Promise<unknown> }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        let last: Promise<unknown> = Promise.resolve();
        const back = {
          data: (_: unknown, bytes: Buffer) => {
            received += bytes.length;
            const kept = Buffer.from(bytes);
            last = last.then(() => writeAll(socket, kept));
          },
          close: () => void last.then(() => socket.end()),
        };
        socket.data = { far: Bun.connect({ hostname: "127.0.0.1", port, socket: back }), last: Promise.resolve() };
      },
      data(socket, bytes) {
        const { data } = socket;
        const kept = Buffer.from(bytes);
        data.last = data.last.then(async () => {
          await writeAll(await data.far, kept);
          sent += kept.length;
        });
      },
      close: (socket) => void socket.data.far.then((far) => far.end()),
    },
  }) as unknown as Bun.TCPSocketListener;
}

async function writeAll(to: Pick<Bun.Socket, "write" | "readyState">, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length && to.readyState === 1;) {
    at += Math.max(0, to.write(bytes.subarray(at)));
    if (at < bytes.length) await Bun.sleep(1);
  }
}

/** Runs a client's command over ssh; its standard output. */
async function over(name: ClientName, args: string[], stdin?: string): Promise<string> {
  const client = ground.client(name);
  const command = ["env", "-u", "DOCKER_HOST", client.program, ...args];
  const { code, stdout, stderr } = await run(command, {
    env: { ...client.env, ...env },
    timeout: 30_000 * SLOW,
    ...(stdin !== undefined && { stdin }),
  });
  if (code !== 0) throw new Error(`${name} ${args.join(" ")}: exit code ${code}: ${stderr}`);
  return stdout;
}

for (const name of ["lighter", "docker 26.1"] as const) {
  test(`${name}: -H ssh://`, async () => {
    expect(await over(name, ["-H", url, "run", "--rm", "busybox", "echo", "hello"])).toBe("hello\n");
    expect(await over(name, ["-H", url, "run", "--rm", "-i", "busybox", "cat"], "typed\n")).toBe("typed\n");
    expect(await over(name, ["-H", url, "images", "--format", "{{.Repository}}"])).toContain("busybox");
  });

  test(`${name}: a context with ssh`, async () => {
    await over(name, ["context", "create", "far", "--docker", `host=${url}`]);
    expect(await over(name, ["--context", "far", "version", "--format", "{{.Server.Os}}"])).toBe("linux\n");
    await over(name, ["context", "use", "far"]);
    expect(await over(name, ["ps", "-a", "--format", "{{.ID}}"])).toBe("");
    await over(name, ["context", "rm", "-f", "far"]);
  });
}

test("lighter: a host that has lighter alone", async () => {
  await rm(ground.path("ssh/far/docker"));
  expect(await over("lighter", ["-H", url, "version", "--format", "{{.Server.Os}}"])).toBe("linux\n");
  await symlink(LIGHTER, ground.path("ssh/far/docker"));
});

test("a host that is not there is told as ssh tells it", async () => {
  const { code, stderr } = await ground.lighter.run(["-H", "ssh://root@127.0.0.1:1", "ps"], { env });
  expect(code).toBe(1);
  expect(stderr).toContain("Connection refused");
});

/** Runs our client against the near daemon. */
async function onNear(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run([LIGHTER, ...args], { env: nearEnv(), timeout: 60_000 * SLOW });
  if (code !== 0) throw new Error(`${args.join(" ")}: exit code ${code}: ${stderr}${stdout}`);
  return stdout;
}

function nearEnv(): Record<string, string> {
  return { ...ground.lighter.env, ...env, DOCKER_HOST: `unix://${near.socket}` };
}

/** An image of one layer that does not pack, `mebibytes` large, in the near daemon. */
async function importRandom(name: string, mebibytes: number): Promise<void> {
  const script = `cd "$0" && head -c ${mebibytes}M /dev/urandom > random && tar -cf random.tar random`;
  await must(["sh", "-c", script, ground.path("ssh")]);
  await onNear("import", ground.path("ssh/random.tar"), name);
}

test("an image goes to the other daemon, and only what it lacks of it", async () => {
  near = new Daemon(ground.path("near-daemon"));
  await near.start();
  await onNear("load", "-q", "-i", (await testImage("layered")).archive);
  await onNear("tag", "layered", "example.test:5000/team/app:1");
  const said = await onNear("push", `${url}/example.test:5000/team/app:1`);
  expect(said).toMatch(/^The push refers to repository \[example\.test:5000\/team\/app\]\n/);
  expect(said).toMatch(/: Pushed\n/);
  const id = (await onNear("inspect", "-f", "{{.Id}}", "layered")).trim();
  expect(said).toContain(`1: digest: ${id} size: `);
  expect((await ground.lighter.must("inspect", "-f", "{{.Id}}", "example.test:5000/team/app:1")).trim()).toBe(id);
  expect(await ground.lighter.must("run", "--rm", "--network", "none", "example.test:5000/team/app:1", "cat", "/data/changed")).toBe("two");

  await onNear("run", "--name", "more", "--network", "none", "layered", "sh", "-c", "head -c 100000 /dev/urandom > /more");
  await onNear("commit", "more", "example.test:5000/team/app:2");
  sent = 0;
  const again = await onNear("push", `${counted}/example.test:5000/team/app:2`);
  expect(again.match(/: Pushed\n/g)).toHaveLength(1);
  expect(again).toContain(": Layer already exists\n");
  // The new layer, its configuration and manifest, and what ssh says to begin with; the image below is some megabytes.
  expect(sent).toBeGreaterThan(100_000);
  expect(sent).toBeLessThan(250_000);
  expect(await ground.lighter.must("run", "--rm", "--network", "none", "example.test:5000/team/app:2", "wc", "-c", "/more")).toBe(
    "100000 /more",
  );
});

test("an image comes from the other daemon", async () => {
  await ground.lighter.must("tag", "busybox", "far/tool:9");
  expect(await onNear("pull", `${url}/far/tool:9`)).toContain("Status: Downloaded newer image for far/tool:9\n");
  expect(await onNear("run", "--rm", "--network", "none", "far/tool:9", "echo", "here")).toBe("here\n");
  expect(await onNear("inspect", "-f", "{{.Id}}", "far/tool:9")).toBe(
    `${await ground.lighter.must("inspect", "-f", "{{.Id}}", "busybox")}\n`,
  );
  expect(await onNear("pull", `${url}/far/tool:9`)).toContain("Image is up to date");
  const { code, stderr } = await run([LIGHTER, "pull", `${url}/far/none`], { env: nearEnv() });
  expect({ code, stderr: stderr.trim() }).toEqual({
    code: 1,
    stderr: "Error response from daemon: manifest for far/none:latest not found: manifest unknown: manifest unknown",
  });
});

test("a push over ssh that was interrupted goes on where it was", async () => {
  const size = 24;
  await importRandom("large:1", size);
  sent = 0;
  for (const share of [0.3, 0.6]) {
    const child = Bun.spawn([LIGHTER, "push", "-q", `${counted}/large:1`], {
      env: { ...process.env, ...nearEnv() },
      stdout: "ignore",
      stderr: "ignore",
    });
    await until("a part of it has gone", () => sent > (share * size) << 20, { timeout: 60_000, every: 1 });
    child.kill("SIGKILL");
    await child.exited;
  }
  await onNear("push", `${counted}/large:1`);
  expect(sent).toBeGreaterThan(size << 20);
  expect(sent / (size << 20)).toBeLessThan(1.3);
  expect(await ground.lighter.must("images", "-q", "large:1")).not.toBe("");
});

test("a pull over ssh that was interrupted goes on where it was", async () => {
  const size = 24;
  await onNear("rmi", "large:1");
  const script = `cd "$0" && head -c ${size}M /dev/urandom > random && tar -cf random.tar random`;
  await must(["sh", "-c", script, ground.path("ssh")]);
  await ground.lighter.must("import", ground.path("ssh/random.tar"), "large:2");
  received = 0;
  for (const share of [0.3, 0.6]) {
    const child = Bun.spawn([LIGHTER, "pull", "-q", `${counted}/large:2`], {
      env: { ...process.env, ...nearEnv() },
      stdout: "ignore",
      stderr: "ignore",
    });
    await until("a part of it has come", () => received > (share * size) << 20, { timeout: 60_000, every: 1 });
    child.kill("SIGKILL");
    await child.exited;
  }
  await onNear("pull", `${counted}/large:2`);
  expect(received).toBeGreaterThan(size << 20);
  expect(received / (size << 20)).toBeLessThan(1.5);
  expect(await onNear("images", "-q", "large:2")).not.toBe("");
});

test("what cannot be moved over ssh is said in a sentence", async () => {
  const failing = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await run([LIGHTER, ...args], { env: nearEnv(), timeout: 60_000 * SLOW });
    expect(code).toBe(1);
    return stderr;
  };
  expect(await failing("push", url)).toContain("an image is missing");
  expect(await failing("push", `${url}/nothing:1`)).toContain("tag does not exist: nothing:1");
  expect(await failing("push", `${url}/busybox@sha256:${"0".repeat(64)}`)).toContain("cannot push a digest reference");
  expect(await failing("push", "ssh://root@127.0.0.1:1/busybox")).toContain("Connection refused");
});
