/** A container's life by every client: create, start, stop, kill, restart, rename, wait, logs, attach, remove. Deadline: 240 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

interface Inspected {
  Id: string;
  Name: string;
  State: { Status: string; Running: boolean; Pid: number; ExitCode: number; StartedAt: string; FinishedAt: string };
  RestartCount: number;
}

async function inspect(name: string): Promise<Inspected> {
  return await ground.daemon.json<Inspected>("GET", `/containers/${name}/json`);
}

const LOOP = "trap 'echo got TERM; exit 5' TERM; echo up; while :; do sleep 0.1; done";

for (const name of CLIENTS) {
  test(`${name}: create, start, stop, start, remove`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const id = await client.must("create", "--name", container, "busybox", "sh", "-c", LOOP);
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect((await inspect(container)).State).toMatchObject({
      Status: "created",
      Running: false,
      Pid: 0,
      StartedAt: "0001-01-01T00:00:00Z",
    });
    expect(await client.must("start", container)).toBe(container);
    await until("it is up", async () => (await client.must("logs", container)).includes("up"));
    const { State } = await inspect(container);
    expect(State).toMatchObject({ Status: "running", Running: true });
    expect(State.Pid).toBeGreaterThan(0);
    expect(await client.must("stop", container)).toBe(container);
    const stopped = (await inspect(container)).State;
    expect(stopped).toMatchObject({ Status: "exited", ExitCode: 5, Pid: 0 });
    expect(Date.parse(stopped.FinishedAt)).toBeGreaterThanOrEqual(Date.parse(stopped.StartedAt));
    await client.must("start", container);
    expect((await inspect(container)).State.Running).toBe(true);
    expect((await client.run(["rm", container])).stderr).toMatch(/running|stop the container/i);
    expect(await client.must("rm", "-f", container)).toBe(container);
    expect((await ground.daemon.failure("GET", `/containers/${container}/json`)).status).toBe(404);
  });

  test(`${name}: stop waits for -t seconds, then kills`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("run", "-d", "--name", container, "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done");
    const begin = performance.now();
    await client.must("stop", "-t", "1", container);
    const took = performance.now() - begin;
    expect(took).toBeGreaterThan(950);
    // Without the flag it would have been ten seconds.
    expect(took).toBeLessThan(9000);
    expect((await inspect(container)).State.ExitCode).toBe(137);
    await client.must("rm", container);
  });

  test(`${name}: kill by number, name and default`, async () => {
    const client = ground.client(name);
    for (const [flags, code] of [
      [["-s", "TERM"], 5],
      [["--signal", "15"], 5],
      [[], 137],
    ] as const) {
      const container = ground.name();
      await client.must("run", "-d", "--name", container, "busybox", "sh", "-c", LOOP);
      await until("it is up", async () => (await client.must("logs", container)).includes("up"));
      await client.must("kill", ...flags, container);
      expect(await client.must("wait", container)).toBe(String(code));
      expect((await client.run(["kill", container])).stderr).toMatch(/is not running/);
      await client.must("rm", container);
    }
  });

  test(`${name}: restart is a new process of the same container`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("run", "-d", "--name", container, "busybox", "sh", "-c", LOOP);
    await until("it is up", async () => (await client.must("logs", container)).includes("up"));
    const before = await inspect(container);
    await client.must("restart", "-t", "5", container);
    const after = await inspect(container);
    expect(after.Id).toBe(before.Id);
    expect(after.State.Pid).not.toBe(before.State.Pid);
    expect(after.State.Running).toBe(true);
    await until("it is up again", async () => (await client.must("logs", container)).split("up").length === 3);
    expect(await client.must("logs", container)).toBe("up\ngot TERM\nup");
    await client.must("rm", "-f", container);
  });

  test(`${name}: rename, and the old name is free`, async () => {
    const client = ground.client(name);
    const [first, second] = [ground.name(), ground.name()];
    await client.must("run", "-d", "--name", first, "busybox", "sleep", "600");
    await client.must("rename", first, second);
    expect((await inspect(second)).Name).toBe(`/${second}`);
    expect((await client.run(["inspect", first])).code).toBe(1);
    await client.must("create", "--name", first, "busybox");
    const taken = await client.run(["rename", first, second]);
    expect(taken.code).toBe(1);
    expect(taken.stderr).toContain(`The container name "/${second}" is already in use by container`);
    await client.must("rm", "-f", first, second);
  });

  test(`${name}: names, ids and unique beginnings of ids`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const id = await client.must("create", "--name", container, "busybox");
    for (const word of [container, `/${container}`, id, id.slice(0, 12), id.slice(0, 6)]) {
      expect(await client.must("inspect", "--format", "{{.Id}}", word)).toBe(id);
    }
    await client.must("rm", id.slice(0, 12));
    const gone = await client.run(["rm", container]);
    expect(gone.code).toBe(1);
    expect(gone.stderr).toMatch(new RegExp(`No such container: ${container}`));
  });

  test(`${name}: run -d prints the id, ps lists it`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const id = await client.must("run", "-d", "--name", container, "--label", `suite=${container}`, "busybox", "sleep", "600");
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    const filter = ["--filter", `label=suite=${container}`];
    expect(await client.must("ps", "-q", ...filter)).toBe(id.slice(0, 12));
    expect(await client.must("ps", "-q", "--no-trunc", "--filter", "status=running", ...filter)).toBe(id);
    expect(await client.must("ps", ...filter)).toMatch(
      /^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES\n[0-9a-f]{12} +busybox +"sleep 600" +.* ago +Up .*test-/,
    );
    await client.must("rm", "-f", container);
    expect(await client.must("ps", "-aq", ...filter)).toBe("");
  });

  test(`${name}: logs by stream, tail, since and timestamps`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const script = "echo one; echo two >&2; sleep 1.2; echo three; printf four";
    await client.must("run", "-d", "--name", container, "busybox", "sh", "-c", script);
    await client.must("wait", container);
    const whole = await client.run(["logs", container]);
    expect(whole.stdout).toBe("one\nthree\nfour");
    expect(whole.stderr).toBe("two\n");
    expect((await client.run(["logs", "--tail", "1", container])).stdout).toBe("four");
    expect((await client.run(["logs", "-n", "0", container])).stdout).toBe("");
    const stamped = (await client.run(["logs", "-t", container])).stdout.split("\n");
    expect(stamped[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z one$/);
    const since = stamped[1]?.split(" ")[0] ?? "";
    expect((await client.run(["logs", "--since", since, container])).stdout).toBe("three\nfour");
    expect((await client.run(["logs", "--until", since, container])).stdout).toStartWith("one\n");
    await client.must("rm", container);
  });

  test(`${name}: logs -f follows to the end`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must(
      "run",
      "-d",
      "--name",
      container,
      "busybox",
      "sh",
      "-c",
      "for n in 1 2 3 4 5; do echo line $n; sleep 0.2; done; exit 3",
    );
    const { code, stdout } = await client.run(["logs", "-f", container]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "line 1\nline 2\nline 3\nline 4\nline 5\n" });
    await client.must("rm", container);
  });

  test(`${name}: attach sees output and gives input; its exit code is the container's`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("run", "-di", "--name", container, "busybox", "sh", "-c", 'read line; echo "heard $line"; exit 4');
    const attached = client.spawn(["attach", container]);
    await Bun.sleep(300);
    void attached.stdin.write("hello\n");
    await attached.stdin.flush();
    expect(await attached.stdout.text()).toBe("heard hello\n");
    expect(await attached.exited).toBe(4);
    await client.must("rm", container);
  });

  test(`${name}: signals to run reach the container`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const running = client.spawn(["run", "--rm", "--name", container, "busybox", "sh", "-c", LOOP]);
    await until("it is up", async () => (await ground.lighter.run(["logs", container])).stdout.includes("up"));
    running.kill("SIGTERM");
    expect(await running.stdout.text()).toBe("up\ngot TERM\n");
    expect(await running.exited).toBe(5);
  });

  test(`${name}: a restart policy counts and gives up`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("run", "-d", "--restart", "on-failure:2", "--name", container, "busybox", "sh", "-c", "exit 6");
    await until(
      "it gave up",
      async () => {
        const { State, RestartCount } = await inspect(container);
        return State.Status === "exited" && RestartCount === 2 && State.ExitCode === 6;
      },
      { timeout: 15_000 },
    );
    await client.must("rm", container);
  });

  test(`${name}: events tell the life of a container in order`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const since = new Date(Date.now() - 1).toISOString();
    await client.must("run", "--name", container, "busybox", "true");
    await client.must("rm", container);
    const until = new Date(Date.now() + 1000).toISOString();
    const lines = await client.must(
      "events",
      "--since",
      since,
      "--until",
      until,
      "--filter",
      `container=${container}`,
      "--format",
      "{{.Type}} {{.Action}}",
    );
    expect(lines.split("\n").filter((line) => /^container (create|start|die|destroy)$/.test(line))).toEqual([
      "container create",
      "container start",
      "container die",
      "container destroy",
    ]);
  });
}

test("wait knows its three conditions", async () => {
  const container = ground.name();
  await ground.lighter.must("create", "--name", container, "busybox", "sh", "-c", "sleep 0.3; exit 8");
  // The head of the answer comes when the daemon has begun to wait.
  const begin = async (condition: string): Promise<Response> =>
    await ground.daemon.api("POST", `/containers/${container}/wait?condition=${condition}`);
  const codeOf = async (answer: Response): Promise<number> => ((await answer.json()) as { StatusCode: number }).StatusCode;
  expect(await codeOf(await begin("not-running"))).toBe(0);
  const next = await begin("next-exit");
  const removed = await begin("removed");
  await ground.lighter.must("start", container);
  expect(await codeOf(next)).toBe(8);
  await ground.lighter.must("rm", container);
  expect(await codeOf(removed)).toBe(8);
});

test("what a container says at once is no older than its start", async () => {
  const ages = await Promise.all(
    Array.from({ length: 16 }, async () => {
      const id = await ground.lighter.must("run", "-d", "busybox", "echo", "up");
      await ground.lighter.must("wait", id);
      const [said = ""] = (await ground.lighter.must("logs", "-t", id)).split(" ");
      const { StartedAt } = (await inspect(id)).State;
      await ground.lighter.must("rm", id);
      return { said: nanosecondsOf(said), started: nanosecondsOf(StartedAt) };
    }),
  );
  expect(ages.filter(({ said, started }) => said < started)).toEqual([]);
});

/** A time of Docker's with nine places, or as many as it has. */
function nanosecondsOf(time: string): bigint {
  const [seconds = "", fraction = ""] = time.replace("Z", "").split(".");
  return BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}
