/** Health checks as clients see them, what is done about unhealthy containers, and both across a crash of the daemon. Deadline: 150 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { count } from "./harness/counts.ts";
import { Ground } from "./harness/ground.ts";
import { eventsOf, stamp } from "./harness/told.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

interface Health {
  Status: string;
  FailingStreak: number;
  Log: { Start: string; End: string; ExitCode: number; Output: string }[];
}

interface Inspected {
  State: { Status: string; StartedAt: string; Health?: Health };
  RestartCount: number;
  Config: { Healthcheck?: { Test: string[] } };
}

const inspect = async (name: string): Promise<Inspected> => await ground.daemon.json<Inspected>("GET", `/containers/${name}/json`);

async function healthOf(name: string): Promise<Health> {
  const { State } = await inspect(name);
  if (State.Health === undefined) throw new Error(`${name} has no health`);
  return State.Health;
}

async function becomes(name: string, status: string): Promise<void> {
  await until(`${name} is ${status}`, async () => (await healthOf(name)).Status === status, { timeout: 30_000 });
}

/** Runs a container with a check in the background. */
async function run(name: string, check: string, ...flags: string[]): Promise<void> {
  const health = ["--health-cmd", check, "--health-interval", "300ms"];
  await ground.lighter.must("run", "-d", "--name", name, ...health, ...flags, "busybox", "sleep", "600");
}

const statusOf = async (client: "lighter" | "docker 20.10", name: string): Promise<string> =>
  await ground.client(client).must("ps", "--filter", `name=^${name}$`, "--format", "{{.Status}}");

/** Commands of the processes in a container, by host pid. */
async function processes(name: string): Promise<Map<string, string>> {
  const { Processes } = await ground.daemon.json<{ Processes: string[][] }>(
    "GET",
    `/containers/${name}/top?ps_args=${encodeURIComponent("-o pid,args")}`,
  );
  return new Map(Processes.map(([pid = "", command = ""]) => [pid, command]));
}

const actions = async (since: string, name: string): Promise<string[]> =>
  (await eventsOf(ground.daemon, { since, filters: { container: [name] } })).map(({ Action }) => Action);

test("starting, healthy, unhealthy, healthy: in inspect, in ps, in its filter, in the events", async () => {
  const since = stamp();
  await run("web", "cat /ok", "--health-retries", "2");
  expect(await healthOf("web")).toEqual({ Status: "starting", FailingStreak: 0, Log: [] });
  expect(await statusOf("docker 20.10", "web")).toMatch(/^Up .* \(health: starting\)$/);
  await becomes("web", "unhealthy");
  const { FailingStreak, Log } = await healthOf("web");
  expect(FailingStreak).toBeGreaterThanOrEqual(2);
  expect(Log[0]).toMatchObject({ ExitCode: 1, Output: "cat: can't open '/ok': No such file or directory\n" });
  expect(Date.parse(Log[0]?.Start ?? "")).toBeLessThan(Date.parse(Log[0]?.End ?? ""));

  await ground.lighter.must("exec", "web", "sh", "-c", "echo fine > /ok");
  await becomes("web", "healthy");
  expect(await healthOf("web")).toMatchObject({ FailingStreak: 0 });
  expect((await healthOf("web")).Log.at(-1)).toMatchObject({ ExitCode: 0, Output: "fine\n" });
  for (const client of ["lighter", "docker 20.10"] as const) expect(await statusOf(client, "web")).toMatch(/^Up .* \(healthy\)$/);
  const filtered = async (health: string): Promise<string> =>
    await ground.client("docker 20.10").must("ps", "--filter", `health=${health}`, "--format", "{{.Names}}");
  expect(await filtered("healthy")).toBe("web");
  expect(await filtered("unhealthy")).toBe("");
  const [summary] = await ground.daemon.json<{ Health: { Status: string; FailingStreak: number } }[]>("GET", "/containers/json");
  expect(summary?.Health).toEqual({ Status: "healthy", FailingStreak: 0 });

  const told = (await actions(since, "web")).filter((action) => !action.includes("echo fine"));
  expect(told.filter((action) => action.startsWith("health"))).toEqual(["health_status: unhealthy", "health_status: healthy"]);
  const check = ["exec_create: /bin/sh -c cat /ok", "exec_start: /bin/sh -c cat /ok", "exec_die"];
  expect(told.slice(2, 5)).toEqual(check);
  expect(told[told.indexOf("health_status: unhealthy") - 1]).toBe("exec_die");
  await until("five results", async () => (await healthOf("web")).Log.length === 5);
  await ground.lighter.must("stop", "-t", "0", "web");
  expect((await healthOf("web")).Status).toBe("unhealthy");
  await ground.lighter.must("start", "web");
  expect(await healthOf("web")).toMatchObject({ Status: "starting", FailingStreak: 0 });
  await becomes("web", "healthy");
  expect((await healthOf("web")).Log).toHaveLength(5);
  await ground.lighter.must("rm", "-f", "web");
});

test("an image's check is inherited, changed in part, and switched off", async () => {
  const Healthcheck = { Test: ["CMD", "true"], Interval: 200_000_000, Retries: 7 };
  await ground.lighter.must("create", "--name", "base", "busybox");
  const body = { Healthcheck };
  await ground.daemon.json("POST", "/commit?container=base&repo=checked&tag=1", { body });
  const create = async (name: string, more: object): Promise<void> => {
    await ground.daemon.json("POST", `/containers/create?name=${name}`, { body: { Image: "checked:1", Cmd: ["sleep", "600"], ...more } });
    await ground.lighter.must("start", name);
  };
  await create("inherits", {});
  await create("partly", { Healthcheck: { Retries: 2 } });
  await create("without", { Healthcheck: { Test: ["NONE"] } });
  await becomes("inherits", "healthy");
  await becomes("partly", "healthy");
  expect((await inspect("partly")).Config.Healthcheck).toMatchObject({ ...Healthcheck, Retries: 2 });
  expect((await inspect("without")).State.Health).toBeUndefined();
  expect(await statusOf("lighter", "without")).not.toContain("health");
  await ground.lighter.must("rm", "-f", "base", "inherits", "partly", "without");
});

test("a check that takes too long is killed with all that it started; one that cannot be run fails; output is cut", async () => {
  await run("slow", "echo begun; setsid sleep 777 & sleep 777", "--health-timeout", "3s", "--health-retries", "2");
  await becomes("slow", "unhealthy");
  const { Log } = await healthOf("slow");
  expect(Log[0]).toMatchObject({ ExitCode: -1, Output: "Health check exceeded timeout (3s): begun\n" });
  // Between two checks there is none of them.
  await until(
    "the last one has left nothing",
    async () => ![...(await processes("slow")).values()].some((command) => command.includes("777")),
  );
  await run("loud", "yes | head -c 6000");
  await becomes("loud", "healthy");
  expect((await healthOf("loud")).Log[0]?.Output).toBe(`${"y\n".repeat(2048)}...`);
  const body = { Image: "busybox", Cmd: ["sleep", "600"], Healthcheck: { Test: ["CMD", "no-such"], Interval: 200_000_000, Retries: 1 } };
  await ground.daemon.json("POST", "/containers/create?name=missing", { body });
  await ground.lighter.must("start", "missing");
  await becomes("missing", "unhealthy");
  const [first] = (await healthOf("missing")).Log;
  expect(first?.ExitCode).toBe(-1);
  expect(first?.Output).toContain('exec: "no-such": executable file not found in $PATH');
  await ground.lighter.must("rm", "-f", "slow", "loud", "missing");
});

test("the start period forgives, its interval is the shorter one; a paused container is left alone", async () => {
  const flags = ["--health-interval", "1h", "--health-start-period", "10m", "--health-start-interval", "200ms", "--health-retries", "1"];
  await run("starts", "test -e /ok", ...flags);
  await until("it has failed three times", async () => (await healthOf("starts")).Log.length >= 3);
  expect(await healthOf("starts")).toMatchObject({ Status: "starting", FailingStreak: 0 });
  await ground.lighter.must("exec", "starts", "touch", "/ok");
  await becomes("starts", "healthy");
  await ground.lighter.must("pause", "starts");
  await ground.lighter.must("unpause", "starts");
  expect((await healthOf("starts")).Status).toBe("healthy");
  await run("frozen", "true");
  await becomes("frozen", "healthy");
  await ground.lighter.must("pause", "frozen");
  const since = stamp();
  await Bun.sleep(1000);
  expect((await actions(since, "frozen")).filter((action) => action.startsWith("exec_create"))).toEqual([]);
  expect((await healthOf("frozen")).Status).toBe("unhealthy");
  await ground.lighter.must("unpause", "frozen");
  await becomes("frozen", "healthy");
  await ground.lighter.must("rm", "-f", "starts", "frozen");
});

test("unhealthy containers are killed, stopped, restarted, as was asked for", async () => {
  const often = ["--health-retries", "2", "--stop-timeout", "1"];
  const since = stamp();
  await run("killed", "false", ...often, "--health-on-failure", "kill", "--restart", "on-failure:1");
  await run("stopped", "false", ...often, "--health-on-failure", "stop", "--restart", "always");
  await run("renewed", "false", ...often, "--health-on-failure", "restart");
  await run("healed", "false", ...often, "--label", "autoheal=true");
  await run("ignored", "false", ...often, "--label", "autoheal=true", "--health-on-failure", "none");
  const restarts = async (name: string): Promise<number> => (await actions(since, name)).filter((action) => action === "restart").length;

  await until("it was killed twice", async () => (await inspect("killed")).State.Status === "exited", { timeout: 30_000 });
  expect(await inspect("killed")).toMatchObject({ RestartCount: 1, State: { ExitCode: 137 } });
  await until("it was stopped", async () => (await actions(since, "stopped")).includes("stop"), { timeout: 30_000 });
  expect((await inspect("stopped")).State.Status).toBe("exited");
  expect((await actions(since, "stopped")).filter((action) => !action.startsWith("exec_"))).toEqual([
    ...["create", "start", "health_status: unhealthy"],
    ...["kill", "kill", "die", "stop"],
  ]);
  for (const name of ["renewed", "healed"])
    await until(`${name} was restarted`, async () => (await restarts(name)) > 0, { timeout: 30_000 });
  await becomes("ignored", "unhealthy");
  expect(await restarts("ignored")).toBe(0);
  await ground.lighter.must("rm", "-f", "killed", "stopped", "renewed", "healed", "ignored");

  const { code, stderr } = await ground.lighter.run(["create", "--health-on-failure", "panic", "busybox"]);
  expect(code).toBe(125);
  expect(stderr).toContain("use none, kill, restart or stop");
  const body = { Image: "busybox", Labels: { "lighter.health-on-failure": "panic" } };
  expect((await ground.daemon.failure("POST", "/containers/create", { body })).status).toBe(400);
});

test("kill -9 of the daemon: the times hold, results and streak stay, a check under way is ended", async () => {
  const INTERVAL = 5000;
  await run("steady", "echo at work", "--health-interval", `${INTERVAL}ms`);
  await run("failing", "test -e /ok", "--health-retries", "50");
  await run("busy", "sleep 888", "--health-timeout", "10m");
  const checking = async (): Promise<string[]> =>
    [...(await processes("busy"))].filter(([, command]) => command.includes("888")).map(([pid]) => pid);
  await until("a check is under way", async () => (await checking()).length > 0);
  const [old = ""] = await checking();
  await until("some have failed", async () => (await healthOf("failing")).FailingStreak >= 2);
  await until("the steady one was checked", async () => (await healthOf("steady")).Log.length === 1, { timeout: 20_000 });
  const streak = (await healthOf("failing")).FailingStreak;
  const since = stamp();
  await ground.daemon.end("SIGKILL");
  await Bun.sleep(2500);
  await ground.daemon.start();
  const up = Date.now();

  expect(await healthOf("steady")).toMatchObject({ Status: "healthy", Log: [{ Output: "at work\n" }] });
  expect((await healthOf("failing")).FailingStreak).toBeGreaterThanOrEqual(streak);
  await until("the old check is gone", async () => !(await checking()).includes(old));
  await until("a new one is under way", async () => (await checking()).length === 1);
  expect((await healthOf("busy")).Log).toEqual([]);
  await until("the steady one was checked again", async () => (await healthOf("steady")).Log.length === 2, { timeout: 20_000 });
  // Counted from the daemon's start it would have been later than this.
  expect(Date.parse((await healthOf("steady")).Log[1]?.Start ?? "")).toBeLessThan(up + INTERVAL);
  await until("the others go on, too", async () => (await healthOf("failing")).FailingStreak > streak);
  expect(await actions(since, "failing")).toContain("exec_die");
  expect(await ground.lighter.must("exec", "busy", "true")).toBe("");
  await ground.lighter.must("rm", "-f", "steady", "failing", "busy");
});

test("many that are checked every second become healthy, and the daemon answers meanwhile", async () => {
  const many = count(25, 200);
  const Healthcheck = { Test: ["CMD", "true"], Interval: 1_000_000_000 };
  const names = Array.from({ length: many }, (_, n) => `many-${n}`);
  for (const name of names) {
    const body = { Image: "busybox", Cmd: ["sleep", "600"], Healthcheck, HostConfig: { NetworkMode: "none", AutoRemove: true } };
    await ground.daemon.json("POST", `/containers/create?name=${name}`, { body });
    await ground.daemon.json("POST", `/containers/${name}/start`);
  }
  const filters = encodeURIComponent(JSON.stringify({ health: ["healthy"], name: ["^many-"] }));
  await until(
    "all are healthy",
    async () => (await ground.daemon.json<unknown[]>("GET", `/containers/json?filters=${filters}`)).length === many,
    {
      timeout: 60_000,
    },
  );
  const { State } = await inspect("many-0");
  expect(State.Health?.Log[0]).toMatchObject({ ExitCode: 0, Output: "" });
  await Promise.all(names.map((name) => ground.daemon.api("DELETE", `/containers/${name}?force=1`)));
});
