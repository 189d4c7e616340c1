/** Commands in a running container. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await ground.lighter.must("run", "-d", "--name", "host", "-e", "OF=container", "-w", "/tmp", "busybox", "sleep", "600");
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

for (const name of CLIENTS) {
  test(`${name}: output of both streams, apart`, async () => {
    const { code, stdout, stderr } = await ground.client(name).run(["exec", "host", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    expect({ code, stdout, stderr }).toEqual({ code: 3, stdout: "out\n", stderr: "err\n" });
  });

  test(`${name}: environment, directory and user`, async () => {
    const client = ground.client(name);
    expect(await client.must("exec", "host", "sh", "-c", "echo $OF; pwd; id -u")).toBe("container\n/tmp\n0");
    expect(
      await client.must("exec", "-e", "OF=exec", "-w", "/etc", "-u", "www-data", "host", "sh", "-c", "echo $OF; pwd; id -u; id -g"),
    ).toBe("exec\n/etc\n33\n33");
    expect(await client.must("exec", "-u", "12:34", "host", "sh", "-c", "id -u; id -g")).toBe("12\n34");
  });

  test(`${name}: -i passes input to its end`, async () => {
    const { stdout } = await ground.client(name).run(["exec", "-i", "host", "wc", "-c"], { stdin: "x".repeat(100_000) });
    expect(stdout.trim()).toBe("100000");
  });

  test(`${name}: -d returns at once and the command runs`, async () => {
    const client = ground.client(name);
    const file = `/tmp/${ground.name()}`;
    await client.must("exec", "-d", "host", "sh", "-c", `sleep 0.2; echo done > ${file}`);
    await until("it has run", async () => (await client.run(["exec", "host", "cat", file])).stdout === "done\n");
  });

  test(`${name}: refused in a container that does not run`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("create", "--name", container, "busybox");
    const { code, stderr } = await client.run(["exec", container, "true"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/is not running/);
    await client.must("rm", container);
  });
}

test("the null device of an exec is not the host's, whoever it runs as", async () => {
  const nullOf = async (user: string): Promise<string> =>
    await ground.lighter.must(
      "exec",
      "-u",
      user,
      "host",
      "sh",
      "-c",
      "stat -L -c %d:%i /proc/self/fd/0; readlink /proc/self/fd/0; cat; echo x >/proc/self/fd/1",
    );
  const before = statSync("/dev/null");
  for (const user of ["77:78", "0"]) {
    const [device, link, echo] = (await nullOf(user)).split("\n");
    expect([link, echo]).toEqual(["/dev/null", "x"]);
    expect(device).not.toBe(`${before.dev}:${before.ino}`);
  }
  const { uid, gid, mode } = statSync("/dev/null");
  expect({ uid, gid, mode }).toEqual({ uid: before.uid, gid: before.gid, mode: before.mode });
});

test("the API tells of a finished exec", async () => {
  const { Id } = await ground.daemon.json<{ Id: string }>("POST", "/containers/host/exec", { body: { Cmd: ["sh", "-c", "exit 11"] } });
  expect(Id).toMatch(/^[0-9a-f]{64}$/);
  expect(await ground.daemon.json("GET", `/exec/${Id}/json`)).toMatchObject({ Running: false, ExitCode: null });
  const started = await ground.daemon.api("POST", `/exec/${Id}/start`, { body: { Detach: true } });
  expect(started.status).toBe(200);
  await until("it has ended", async () => !(await ground.daemon.json<{ Running: boolean }>("GET", `/exec/${Id}/json`)).Running);
  expect(await ground.daemon.json("GET", `/exec/${Id}/json`)).toMatchObject({ Running: false, ExitCode: 11 });
  expect((await ground.daemon.api("POST", `/exec/${Id}/start`, { body: { Detach: true } })).status).toBe(409);
});

test("keys that do not exist are refused with Docker's word for them", async () => {
  const body = { Cmd: ["true"], Tty: true, DetachKeys: "foo-x" };
  expect(await ground.daemon.failure("POST", "/containers/host/exec", { body })).toEqual({
    status: 400,
    message: "Invalid escape keys (foo-x) provided",
  });
});

test("a terminal's size is taken while its exec is still being started", async () => {
  const Cmd = ["sh", "-c", 'while [ "$(stty size)" != "33 99" ]; do sleep 0.05; done'];
  const body = { Cmd, Tty: true, AttachStdin: true, AttachStdout: true };
  const { Id } = await ground.daemon.json<{ Id: string }>("POST", "/containers/host/exec", { body });
  const started = ground.daemon.api("POST", `/exec/${Id}/start`, { body: { Detach: true, Tty: true } });
  // On a slow machine it may come before the start is asked for, which is refused after a moment.
  await until("its size is taken", async () => (await ground.daemon.api("POST", `/exec/${Id}/resize?h=33&w=99`)).status === 200);
  expect((await started).status).toBe(200);
  await until("it has seen its size", async () => !(await ground.daemon.json<{ Running: boolean }>("GET", `/exec/${Id}/json`)).Running);
  expect((await ground.daemon.failure("POST", `/exec/${Id}/resize?h=33&w=99`)).status).toBe(409);
});
