/** A daemon behind ssh: a real server on loopback, Debian's docker and our client, and contexts. Deadline: 90 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { openSsh } from "../tools/openssh.ts";
import { must, run } from "../tools/shell.ts";
import { LIGHTER } from "./harness/daemon.ts";
import { Ground, type ClientName } from "./harness/ground.ts";
import { freePort } from "./harness/ports.ts";
import { SLOW, until } from "./harness/until.ts";

let ground: Ground;
let server: Bun.Subprocess | undefined;
let url: string;
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
  const [far, near] = [join(folder, "far"), join(folder, "near")];
  for (const path of [folder, far, near]) await mkdir(path);
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
    join(near, "ssh"),
    `#!/bin/sh\nLD_LIBRARY_PATH=${programs.env["LD_LIBRARY_PATH"]} exec ${programs.ssh} -F ${join(folder, "ssh_config")} "$@"\n`,
  );
  await chmod(join(near, "ssh"), 0o755);
  const log = Bun.file(join(folder, "sshd.log"));
  const unshared = ["unshare", "--mount", "--propagation", "private", "sh", "-c", IN_PRIVATE, folder];
  server = Bun.spawn([...unshared, programs.sshd, "-D", "-e", "-f", join(folder, "sshd_config")], {
    env: { ...process.env, ...programs.env },
    stdout: log,
    stderr: log,
  });
  url = `ssh://root@127.0.0.1:${port}`;
  env = { PATH: `${near}:${process.env["PATH"]}` };
  await until("ssh answers", async () => {
    try {
      return (await must([join(near, "ssh"), "-p", String(port), "root@127.0.0.1", "echo here"])) === "here\n";
    } catch (cause) {
      throw new Error(`${String(cause)}\n${await log.text()}`, { cause });
    }
  });
});
afterAll(async () => {
  server?.kill("SIGTERM");
  await server?.exited;
  await ground?.[Symbol.asyncDispose]();
});

function settings(values: Record<string, string>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value}\n`)
    .join("");
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
