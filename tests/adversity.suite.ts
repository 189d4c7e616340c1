/** What goes wrong around a container ends in a state that inspect tells truly, and leaves nothing behind. Deadline: 200 s. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "../tools/shell.ts";
import { Daemon } from "./harness/daemon.ts";
import { Ground } from "./harness/ground.ts";
import { leftovers, type Leftovers } from "./harness/leftovers.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
let runtimes: string;
let clean: Leftovers;

/** A runc (or crun, which the daemon asks for less) that is killed when it is asked for something, before or after it was done. */
const DYING: Record<string, [command: string, when: "before" | "after"]> = {
  "dies-at-create": ["create", "before"],
  "dies-after-create": ["create", "after"],
  "dies-at-start": ["start", "before"],
  "dies-after-start": ["start", "after"],
  "dies-at-kill": ["kill", "before"],
  "dies-at-delete": ["delete", "before"],
};

async function dyingRuntimes(folder: string): Promise<string> {
  const runtime = Bun.which("runc") ?? "crun";
  for (const [name, [command, when]] of Object.entries(DYING)) {
    const die = `for word; do [ "$word" = ${command} ] && kill -9 $$; done`;
    const script = when === "before" ? `${die}\nexec ${runtime} "$@"\n` : `${runtime} "$@"; code=$?\n${die}\nexit $code\n`;
    await Bun.write(join(folder, name), `#!/bin/sh\n${script}`);
    await chmod(join(folder, name), 0o755);
  }
  const config = { runtimes: Object.fromEntries(Object.keys(DYING).map((name) => [name, { path: join(folder, name) }])) };
  await Bun.write(join(folder, "daemon.json"), JSON.stringify(config));
  return join(folder, "daemon.json");
}

beforeAll(async () => {
  runtimes = await mkdtemp(join(tmpdir(), "lighter-runtimes-"));
  ground = await Ground.lay(["busybox"], ["--config-file", await dyingRuntimes(runtimes)]);
  await ground.lighter.must("run", "--rm", "busybox", "true");
  clean = await leftovers(ground.daemon);
});
afterAll(async () => {
  await ground?.[Symbol.asyncDispose]();
  await rm(runtimes, { recursive: true, force: true });
});

/** What is there of a test is removed by it; what is left after that is a leak. */
afterEach(async () => {
  const look = async (): Promise<Partial<Leftovers>> => {
    const { containers, cgroups, processes, files, mounts } = await leftovers(ground.daemon);
    return { containers, cgroups, processes, files, mounts };
  };
  const { containers, cgroups, processes, files, mounts } = clean;
  const before = { containers, cgroups, processes, files, mounts };
  await until("nothing is left", async () => Bun.deepEquals(await look(), before), { timeout: 20_000 }).catch(() => undefined);
  expect(await look()).toEqual(before);
});

interface Shown {
  Id: string;
  State: { Status: string; Running: boolean; Pid: number; ExitCode: number; Error: string; OOMKilled: boolean };
}

async function shown(name: string, daemon = ground.daemon): Promise<Shown> {
  return await daemon.json<Shown>("GET", `/containers/${name}/json`);
}

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Inspect and the machine say the same: it runs and its process is there, or it does not and none is. */
async function expectTrue(name: string, daemon = ground.daemon): Promise<Shown["State"]> {
  const { State } = await shown(name, daemon);
  expect([State.Running, State.Pid > 0 && alive(State.Pid)]).toEqual([State.Running, State.Running]);
  return State;
}

test("a process that ignores SIGTERM is killed after its time: 137", async () => {
  const { lighter } = ground;
  await lighter.must("run", "-d", "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM INT; while :; do sleep 0.1; done");
  await lighter.must("stop", "-t", "1", "deaf");
  expect(await expectTrue("deaf")).toMatchObject({ Status: "exited", ExitCode: 137, OOMKilled: false });
  await lighter.must("start", "deaf");
  await lighter.must("restart", "-t", "0", "deaf");
  expect(await expectTrue("deaf")).toMatchObject({ Status: "running" });
  await lighter.must("rm", "-f", "deaf");
});

test("a fork bomb stays within its pids limit, and can be looked at, frozen and removed", async () => {
  const { lighter, daemon } = ground;
  await lighter.must(
    "run",
    "-d",
    "--name",
    "bomb",
    "--pids-limit",
    "50",
    "busybox",
    "sh",
    "-c",
    // A shell that cannot fork ends: not the one that is the container, and what it has made stays.
    "(while :; do sleep 600 & done) & exec sleep 600",
  );
  const cgroup = async (): Promise<number> => (await daemon.json<{ Processes: unknown[] }>("GET", "/containers/bomb/top")).Processes.length;
  await until("it has grown", async () => (await cgroup()) > 5);
  expect(await cgroup()).toBeLessThanOrEqual(50);
  const refused = await lighter.run(["exec", "bomb", "true"]);
  expect([0, 126, 128, 1, 2, 255]).toContain(refused.code);
  await lighter.must("pause", "bomb");
  await lighter.must("unpause", "bomb");
  expect((await expectTrue("bomb")).Status).toMatch(/running|exited/);
  await lighter.must("rm", "-f", "bomb");
});

test("what takes more memory than it may is killed and said to be", async () => {
  const { lighter } = ground;
  const { code } = await lighter.run(["run", "--name", "big", "--memory", "16m", "--memory-swap", "16m", "busybox", "tail", "/dev/zero"]);
  expect(code).toBe(137);
  expect(await expectTrue("big")).toMatchObject({ Status: "exited", ExitCode: 137, OOMKilled: true });
  await lighter.must("rm", "big");
});

for (const name of Object.keys(DYING)) {
  test(`a runtime that ${name.replaceAll("-", " ")}`, async () => {
    const { daemon, lighter } = ground;
    await lighter.must("create", "--name", "half", "--runtime", name, "busybox", "sleep", "600");
    const { code, stderr } = await lighter.run(["start", "half"], { timeout: 30_000 });
    const state = await expectTrue("half");
    if (code === 0) expect(state).toMatchObject({ Status: "running", Error: "" });
    else {
      expect(stderr).toMatch(/.{20}/);
      expect(state).toMatchObject({ Running: false });
      expect(state.Error).not.toBe("");
      expect(state.ExitCode).toBeGreaterThan(0);
    }
    // It is no dead end: it can be asked again, and removed.
    await lighter.run(["start", "half"], { timeout: 30_000 });
    await expectTrue("half");
    const removed = await lighter.run(["rm", "-f", "half"], { timeout: 30_000 });
    expect(removed).toMatchObject({ code: 0 });
    expect((await daemon.api("GET", "/containers/half/json")).status).toBe(404);
    expect(await lighter.must("run", "--rm", "busybox", "echo", "well")).toBe("well");
  });
}

test("a killed monitor: the container runs on, is stopped, and its end is told", async () => {
  const { daemon, lighter } = ground;
  await lighter.must("run", "-d", "--name", "orphan", "busybox", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done");
  const { State } = await shown("orphan");
  const parent = Number(/\nPPid:\s+(\d+)/.exec(await Bun.file(`/proc/${State.Pid}/status`).text())?.[1]);
  expect(await Bun.file(`/proc/${parent}/comm`).text()).toBe("conmon\n");
  process.kill(parent, "SIGKILL");
  await until("it is told", async () => (await eventsOf("orphan", daemon)).includes("monitor-lost"));
  expect(await expectTrue("orphan")).toMatchObject({ Status: "running" });
  await lighter.must("stop", "-t", "5", "orphan");
  const ended = await expectTrue("orphan");
  expect(ended.Status).toBe("exited");
  expect([7, 255]).toContain(ended.ExitCode);
  await lighter.must("start", "orphan");
  expect(await expectTrue("orphan")).toMatchObject({ Status: "running", Error: "" });
  await lighter.must("rm", "-f", "orphan");
});

async function eventsOf(name: string, daemon: Daemon): Promise<string[]> {
  const filters = encodeURIComponent(JSON.stringify({ container: [name] }));
  const text = await (await daemon.api("GET", `/events?since=1&until=${Date.now() / 1000 + 0.05}&filters=${filters}`)).text();
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as { Action: string }).Action);
}

test("a reader that stops does not keep the container from ending, nor others from reading", async () => {
  const { daemon, lighter } = ground;
  await lighter.must("create", "--name", "loud", "busybox", "sh", "-c", "trap 'exit 3' TERM; yes 0123456789abcdef0123456789abcdef & wait");
  // Takes the head of the answer and nothing after it.
  const stalled = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: daemon.socket,
    socket: {
      data(it) {
        it.pause();
        stalled.resolve();
      },
    },
  });
  socket.write(
    "POST /v1.41/containers/loud/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n",
  );
  await stalled.promise;
  await lighter.must("start", "loud");
  await until("it has written", async () => (await lighter.must("logs", "--tail", "1", "loud")) !== "");
  expect((await daemon.api("GET", "/_ping")).status).toBe(200);
  await lighter.must("stop", "-t", "2", "loud");
  expect(await expectTrue("loud")).toMatchObject({ Status: "exited" });
  socket.terminate();
  await lighter.must("rm", "loud");
});

test("a container that is removed while others use it: each of them ends, none with 500", async () => {
  const { daemon, lighter } = ground;
  const container = await lighter.must("run", "-d", "--name", "busy", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.05; done");
  const id = (await daemon.json<{ Id: string }>("POST", "/containers/busy/exec", { body: { Cmd: ["sleep", "600"], AttachStdout: true } }))
    .Id;
  const uses: [string, string, object?][] = [
    ["GET", "/containers/busy/logs?stdout=1&follow=1"],
    ["GET", "/containers/busy/stats"],
    ["POST", "/containers/busy/wait?condition=removed"],
    ["POST", "/containers/busy/wait?condition=next-exit"],
    ["GET", "/containers/busy/export"],
    ["GET", "/containers/busy/archive?path=/bin"],
    ["GET", "/containers/busy/top"],
    ["GET", "/containers/busy/changes"],
    ["GET", "/containers/busy/json?size=1"],
    ["POST", "/containers/busy/stop?t=20"],
    ["POST", "/containers/busy/restart?t=20"],
    ["POST", "/containers/busy/pause"],
    ["POST", `/exec/${id}/start`, { Detach: true }],
    ["POST", "/containers/busy/exec", { Cmd: ["true"] }],
    ["POST", "/containers/busy/rename?name=busier"],
    ["POST", "/containers/busy/rename?name=busy"],
    ["DELETE", "/containers/busy?force=1"],
  ];
  const asked = uses.map(async ([method, path, body]) => {
    const response = await daemon.api(method, path, { ...(body === undefined ? {} : { body }), signal: AbortSignal.timeout(30_000) });
    const text = await response.text().catch(() => "");
    return response.status < 500 ? undefined : `${method} ${path}: ${response.status} ${text}`;
  });
  await Bun.sleep(150);
  const removal = await daemon.api("DELETE", `/containers/${container}?force=1&v=1`);
  expect([204, 404, 409]).toContain(removal.status);
  expect((await Promise.all(asked)).filter((wrong) => wrong !== undefined)).toEqual([]);
  await until("it is gone", async () => (await daemon.json<unknown[]>("GET", "/containers/json?all=1")).length === 0);
});

test("a full disk: what runs can be stopped and removed, what cannot be made says why, and nobody waits for ever", async () => {
  const daemon = new Daemon(ground.path("full"));
  await mkdir(daemon.dataRoot, { recursive: true });
  await must(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", daemon.dataRoot]);
  const client = (...args: string[]) => ground.lighter.run(args, { env: { DOCKER_HOST: `unix://${daemon.socket}` }, timeout: 30_000 });
  try {
    await daemon.start();
    const image = `${ground.registry.host}/busybox`;
    await (await daemon.api("POST", `/images/create?fromImage=${encodeURIComponent(image)}&tag=latest`)).text();
    const loop = "trap 'exit 4' TERM; while :; do echo line; sleep 0.05; done";
    expect(await client("run", "-d", "--name", "steady", image, "sh", "-c", loop)).toMatchObject({ code: 0 });
    expect(await client("run", "-d", "--rm", "--name", "passing", image, "sh", "-c", loop)).toMatchObject({ code: 0 });
    const waits = ["steady", "passing"].map(async (name) => await client("wait", name));
    const gone = daemon.api("POST", "/containers/passing/wait?condition=removed").then((response) => response.json());
    gone.catch(() => undefined);
    // To the last byte: whatever the daemon still writes finds nothing.
    await must([
      "sh",
      "-c",
      'head -c 64M /dev/zero > "$0/filler" 2>/dev/null; for n in 1 2 3; do head -c 64k /dev/zero > "$0/filler.$n" 2>/dev/null; done; true',
      daemon.dataRoot,
    ]);
    for (let n = 0; n < 30; n++)
      await daemon.api("POST", "/volumes/create", { body: { Name: `full-${n}`, Labels: { big: "x".repeat(4000) } } });
    expect(await expectTrue("steady", daemon)).toMatchObject({ Status: "running" });
    const refused = await client("run", "--name", "late", image, "true");
    if (refused.code !== 0) expect(refused.stderr).toMatch(/no space left on device/i);
    await client("stop", "-t", "2", "steady", "passing");
    for (const name of ["steady", "passing"]) {
      const response = await daemon.api("GET", `/containers/${name}/json`);
      if (response.ok) expect([name, ((await response.json()) as Shown).State.Running]).toEqual([name, false]);
    }
    expect((await Promise.all(waits)).map(({ code }) => code)).toEqual([0, 0]);
    await Promise.race([gone, Bun.sleep(10_000).then(() => Promise.reject(new Error("who waits for the removal is told nothing")))]);

    await must(["sh", "-c", 'rm -f "$0"/filler*', daemon.dataRoot]);
    await client("start", "steady");
    expect(await expectTrue("steady", daemon)).toMatchObject({ Status: "running" });
    expect(await client("run", "--rm", image, "echo", "again")).toMatchObject({ code: 0, stdout: "again\n" });
    const listed = await daemon.json<{ Id: string }[]>("GET", "/containers/json?all=1");
    for (const { Id } of listed) expect((await daemon.api("DELETE", `/containers/${Id}?force=1&v=1`)).status).toBe(204);
    expect(await readdir(join(daemon.dataRoot, "containers"))).toEqual([]);
  } finally {
    await daemon.end();
    for (const mounted of [daemon.execRoot, daemon.dataRoot]) await must(["sh", "-c", 'umount -l "$0" 2>/dev/null || true', mounted]);
    await rm(daemon.folder, { recursive: true, force: true });
  }
});
