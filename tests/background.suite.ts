/** The daemon that the client starts by itself. Deadline: 90 s. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";
import { must, run, type Outcome } from "../tools/shell.ts";
import { LIGHTER } from "./harness/daemon.ts";
import { until } from "./harness/until.ts";

const ROOTS = ["/var/lib/lighter", "/run/lighter"];
const ENV = { DOCKER_HOST: "", DOCKER_CONTEXT: "", DOCKER_CONFIG: "/run/lighter/no-config" };

async function lighter(...args: string[]): Promise<Outcome> {
  return await run([LIGHTER, ...args], { env: ENV, timeout: 30_000 });
}

/** Daemons whose command line has no root of its own: those that clients started here. */
async function daemons(): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const words = (
      await Bun.file(`/proc/${pid}/cmdline`)
        .text()
        .catch(() => "")
    ).split("\0");
    if (words.includes("daemon") && !words.includes("--data-root")) found.push(Number(pid));
  }
  return found;
}

async function endAll(): Promise<void> {
  for (const pid of await daemons()) process.kill(pid, "SIGTERM");
  await until("no daemon runs", async () => (await daemons()).length === 0);
}

// The default roots are the machine's own: the runner gives this suite a mount namespace, and this puts empty folders over them.
beforeAll(async () => {
  if (process.env["LIGHTER_TEST_ISOLATED"] !== "1")
    throw new Error("this suite needs the namespaces that ./test makes: run ./test background");
  for (const root of ROOTS) await must(["sh", "-c", 'mkdir -p "$0" && mount -t tmpfs tmpfs "$0"', root]);
});
beforeEach(endAll);
afterAll(async () => {
  await endAll();
  for (const root of ROOTS) await run(["umount", "-l", root]);
});

test("the first command starts it, in a session of its own, and it stays", async () => {
  const { code, stdout } = await lighter("ps", "-q");
  expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
  const [pid = 0, ...others] = await daemons();
  expect(others).toEqual([]);
  const session = (await Bun.file(`/proc/${pid}/stat`).text()).split(") ")[1]?.split(" ")[3];
  const own = (await Bun.file("/proc/self/stat").text()).split(") ")[1]?.split(" ")[3];
  expect(session).not.toBe(own);
  expect(await readlink(`/proc/${pid}/cwd`)).toBe("/");
  expect(await readlink(`/proc/${pid}/fd/0`)).toBe("/dev/null");
  expect(await Bun.file(`/proc/${pid}/cgroup`).text()).toMatch(/^\d+:.*:\/lighter\/daemon$/m);
  expect((await lighter("ps", "-q")).code).toBe(0);
  expect(await daemons()).toEqual([pid]);
});

test("of many clients at once one starts it, and all are served", async () => {
  const all = await Promise.all(Array.from({ length: 8 }, async () => await lighter("version", "--format", "{{.Server.Version}}")));
  expect(all.map(({ code }) => code)).toEqual(Array.from({ length: 8 }, () => 0));
  await until("the others have gone", async () => (await daemons()).length === 1);
});

test("its socket is the user's own: mode 660, root", async () => {
  await lighter("ps");
  expect((await must(["stat", "-c", "%a %U", "/run/lighter/lighter.sock"])).trim()).toMatch(/^6[06]0 root$/);
});

test("a daemon that was killed is started again, over the socket it left", async () => {
  await lighter("ps");
  const killed = await daemons();
  for (const pid of killed) process.kill(pid, "SIGKILL");
  await until("it is gone", () => !killed.some((pid) => existsSync(`/proc/${pid}`)));
  expect(await lighter("ps", "-q")).toEqual({ code: 0, stdout: "", stderr: "" });
});

test("never for -H or DOCKER_HOST", async () => {
  const flagged = await lighter("-H", "unix:///run/lighter/none.sock", "ps");
  expect(flagged.code).toBe(1);
  expect(flagged.stderr).toMatch(
    /Cannot connect to the (Docker|Lighter) daemon at unix:\/\/\/run\/lighter\/none\.sock\. Is the (docker|lighter) daemon running\?/,
  );
  expect((await run([LIGHTER, "ps"], { env: { ...ENV, DOCKER_HOST: "unix:///run/lighter/none.sock" } })).code).toBe(1);
  expect(await daemons()).toEqual([]);
});

test("commands that need no daemon start none", async () => {
  for (const args of [["--help"], ["--version"], ["run", "--help"]]) expect((await lighter(...args)).code).toBe(0);
  expect(await daemons()).toEqual([]);
});

test("hello-world as a newcomer's first command", async () => {
  const begin = performance.now();
  const { code, stdout } = await lighter("run", "hello-world");
  expect({ code, hello: stdout.split("\n")[1] }).toEqual({ code: 0, hello: "Hello from Lighter!" });
  expect(performance.now() - begin).toBeLessThan(20_000);
  expect((await lighter("ps", "-a", "--format", "{{.Status}}")).stdout).toMatch(/^Exited \(0\)/);
});
