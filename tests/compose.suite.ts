/** Debian's docker-compose, unmodified, on a project of five services, as its users go about it. Deadline: 180 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cliPlugins } from "../tools/programs.ts";
import { run } from "../tools/shell.ts";
import { projectOn } from "./harness/compose-project.ts";
import { freePort } from "./harness/ports.ts";
import { Ground } from "./harness/ground.ts";
import { SLOW, until } from "./harness/until.ts";

let ground: Ground;
let program: string;
let port: number;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  program = (await cliPlugins()).find((path) => path.endsWith("/docker-compose")) ?? "";
  port = freePort();
  await Bun.write(ground.path("project/compose.yaml"), projectOn(port));
  await Bun.write(ground.path("project/password"), "secret\n");
  await Bun.write(ground.path("project/page"), "page\n");
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

interface Said {
  code: number;
  stdout: string;
  stderr: string;
}

async function tried(args: string[], env: Record<string, string> = {}): Promise<Said> {
  const options = { cwd: ground.path("project"), env: { ...ground.clientEnv("docker 26.1"), ...env }, timeout: 90_000 * SLOW };
  return await run([program, "--ansi", "never", "--progress", "plain", ...args], options);
}

async function compose(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await tried(args);
  if (code !== 0) throw new Error(`compose ${args.join(" ")}: exit code ${code}: ${stderr}${stdout}`);
  return stdout + stderr;
}

const lines = (text: string): string[] => text.trim().split("\n");

const states = async (): Promise<string[]> =>
  lines(await compose("ps", "-a", "--format", "{{.Name}} {{.State}} {{.Health}}"))
    .map((line) => line.trimEnd())
    .sort();

test("up waits for what is healthy and what has ended, in the order of the dependencies", async () => {
  const said = await compose("up", "-d", "--quiet-pull");
  const at = (what: string): number => said.indexOf(what);
  expect(at("five-db-1  Healthy")).toBeGreaterThan(at("five-db-1  Started"));
  expect(at("five-api-1  Starting")).toBeGreaterThan(Math.max(at("five-db-1  Healthy"), at("five-init-1  Exited")));
  expect(at("five-worker-2  Starting")).toBeGreaterThan(at("five-api-1  Started"));
  expect(await states()).toEqual([
    "five-api-1 running",
    "five-db-1 running healthy",
    "five-init-1 exited",
    "five-proxy-1 running",
    "five-worker-1 running",
    "five-worker-2 running",
  ]);
});

test("names, secrets, configs, ports, fixed addresses, limits", async () => {
  await until("the api has asked", async () => (await compose("logs", "--no-log-prefix", "api")).includes("mode one"));
  expect((await compose("logs", "--no-log-prefix", "--no-color", "api")).replaceAll("\u001b[2K", "")).toBe("secret\ndb\nmode one\n");
  await until("the page is served", async () => (await (await fetch(`http://127.0.0.1:${port}/page`)).text()) === "page\n");
  expect(await compose("port", "proxy", "80")).toBe(`127.0.0.1:${port}\n`);
  expect(await compose("exec", "-T", "proxy", "cat", "/etc/hosts")).toMatch(/^10\.1\.2\.3\telsewhere\n10\.77\.0\.10\t[0-9a-f]{12}$/m);
  const worker = await ground.lighter.must("inspect", "-f", "{{.HostConfig.Memory}}", "five-worker-1");
  expect(worker).toBe(String(64 * 1024 * 1024));
  for (const alias of ["db", "database", "store"])
    expect(await compose("exec", "-T", "api", "wget", "-qO-", `http://${alias}/`)).toBe("db\n");
});

test("exec, run, cp, top, events and their exit codes", async () => {
  expect((await tried(["exec", "-T", "api", "sh", "-c", "exit 7"])).code).toBe(7);
  expect((await tried(["run", "--rm", "-T", "api", "sh", "-c", "cat /run/secrets/password; exit 5"])).stdout).toBe("secret\n");
  expect((await tried(["run", "--rm", "-T", "api", "sh", "-c", "exit 5"])).code).toBe(5);
  await compose("cp", "proxy:/www/page", ground.path("copied"));
  expect(await Bun.file(ground.path("copied")).text()).toBe("page\n");
  await compose("cp", ground.path("copied"), "db:/copied");
  expect(await compose("exec", "-T", "db", "cat", "/copied")).toBe("page\n");
  expect(await compose("top", "proxy")).toMatch(/^UID +PID +PPID/m);
  expect((await tried(["--profile", "debug", "up", "debug"])).stdout).toContain("debug-1  | debugging");
});

test("what has not changed stays; what has is made anew, and only that", async () => {
  const ids = async (): Promise<Map<string, string>> =>
    new Map(lines(await compose("ps", "-a", "--format", "{{.Name}} {{.ID}}")).map((line) => line.split(" ") as [string, string]));
  const first = await ids();
  await compose("up", "-d", "--quiet-pull");
  expect(await ids()).toEqual(first);
  expect((await tried(["up", "-d", "--quiet-pull"], { MODE: "two" })).code).toBe(0);
  const second = await ids();
  expect(second.get("five-api-1")).not.toBe(first.get("five-api-1"));
  for (const name of ["five-db-1", "five-proxy-1"]) expect(second.get(name)).toBe(first.get(name));
  await until("the new one has asked", async () => (await compose("logs", "--no-log-prefix", "api")).includes("mode two"));
});

test("scale, restart, pause, stop, kill, rm, and up again", async () => {
  await compose("up", "-d", "--scale", "worker=3", "--quiet-pull");
  expect(lines(await compose("ps", "-q", "worker"))).toHaveLength(3);
  await compose("restart", "-t", "1", "proxy");
  await until("it serves again", async () => (await (await fetch(`http://127.0.0.1:${port}/page`)).text()) === "page\n");
  await compose("pause", "db");
  expect(await states()).toContain("five-db-1 paused");
  await compose("unpause", "db");
  expect(await compose("run", "--rm", "-T", "api", "echo", "depends on it")).toContain("depends on it");
  await compose("stop", "-t", "5", "worker");
  const exited = await compose("ps", "-a", "--format", "{{.ExitCode}}", "worker");
  expect(lines(exited)).toEqual(["0", "0", "0"]);
  await compose("start", "worker");
  await compose("kill", "worker");
  await until("they are dead", async () => (await states()).filter((state) => /worker-\d exited/.test(state)).length === 3);
  await compose("rm", "-f", "worker");
  await compose("up", "-d", "--force-recreate", "--quiet-pull", "-t", "1");
  expect(lines(await compose("ps", "-q", "worker"))).toHaveLength(2);
});

test("the daemon is killed: the project runs on, and goes down whole", async () => {
  const before = await compose("ps", "-q");
  await ground.daemon.end("SIGKILL");
  expect(await (await fetch(`http://127.0.0.1:${port}/page`)).text()).toBe("page\n");
  await ground.daemon.start();
  expect(await compose("ps", "-q")).toBe(before);
  expect(await compose("exec", "-T", "api", "wget", "-qO-", "http://store/")).toBe("db\n");
  await compose("--profile", "debug", "down", "-v", "-t", "1");
  expect(await ground.lighter.must("ps", "-aq")).toBe("");
  expect(await ground.lighter.must("volume", "ls", "-q")).toBe("");
  expect(lines(await ground.lighter.must("network", "ls", "--format", "{{.Name}}"))).toEqual(["bridge", "host", "none"]);
});
