/** Containers, their logs and codes when the daemon is killed and comes back. Deadline: 180 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { count } from "./harness/counts.ts";
import { figure } from "./harness/figures.ts";
import { Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

interface Inspected {
  Id: string;
  State: { Status: string; Running: boolean; Pid: number; ExitCode: number; FinishedAt: string; StartedAt: string };
  RestartCount: number;
}

const inspect = async (name: string): Promise<Inspected> => await ground.daemon.json<Inspected>("GET", `/containers/${name}/json`);

const TICKS = "n=0; while :; do echo $n; n=$((n+1)); usleep 10000; done";

test("kill -9 with three containers: same processes, no line lost, codes right, events with the true times, policies applied", async () => {
  const { lighter, daemon } = ground;
  await lighter.must("run", "-d", "--name", "ticks", "busybox", "sh", "-c", TICKS);
  const gate = ground.path("gate");
  mkdirSync(gate);
  const flags = ["-d", "-v", `${gate}:/gate:ro`];
  const opened = "while [ ! -e /gate/open ]; do sleep 0.05; done";
  await lighter.must("run", ...flags, "--name", "nine", "busybox", "sh", "-c", `${opened}; exit 9`);
  const once = `[ -e /gate/open ] && exec sleep 600; ${opened}; exit 1`;
  await lighter.must("run", ...flags, "--name", "again", "--restart", "always", "busybox", "sh", "-c", once);
  const written = async (): Promise<number[]> => (await lighter.must("logs", "ticks")).split("\n").map(Number);
  await until("it ticks", async () => (await written()).length > 20, { timeout: 30_000 });
  const before = { ticks: await inspect("ticks"), nine: await inspect("nine"), again: await inspect("again") };
  const already = (await written()).length;

  await daemon.end("SIGKILL");
  const down = Date.now();
  writeFileSync(join(gate, "open"), "");
  const ended = ({ Id }: { Id: string }): boolean => existsSync(join(daemon.execRoot, "containers", Id, "exit"));
  await until("both have ended", () => ended(before.nine) && ended(before.again), { timeout: 30_000 });
  // Lines that come while nobody is there.
  await Bun.sleep(500);
  const up = Date.now();
  await daemon.start();

  const ticks = await inspect("ticks");
  expect(ticks.State).toMatchObject({ Running: true, Pid: before.ticks.State.Pid, StartedAt: before.ticks.State.StartedAt });
  await until("it ticks on", async () => (await written()).length > already + 30, { timeout: 30_000 });
  const numbers = await written();
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, n) => n));

  const nine = await inspect("nine");
  expect(nine.State).toMatchObject({ Status: "exited", ExitCode: 9 });
  const finished = Date.parse(nine.State.FinishedAt);
  // The kernel's times of files may be some milliseconds too early.
  expect(finished).toBeGreaterThan(down - 20);
  expect(finished).toBeLessThan(up);
  expect(await lighter.must("wait", "nine")).toBe("9");

  await until("the policy starts it again", async () => {
    const again = await inspect("again");
    return again.State.Running && again.State.Pid !== before.again.State.Pid;
  });
  const events = await lighter.must(
    "events",
    "--since",
    String(Math.floor(down / 1000) - 10),
    "--until",
    new Date().toISOString(),
    "--filter",
    "container=nine",
    "--format",
    "{{.Action}} {{.TimeNano}}",
  );
  const die = events.split("\n").filter((line) => line.startsWith("die "));
  expect(die.length).toBe(1);
  const time = Number(BigInt(die[0]?.split(" ")[1] ?? "0") / 1_000_000n);
  expect(Math.abs(time - finished)).toBeLessThan(1000);
  await lighter.must("rm", "-f", "ticks", "nine", "again");
}, 60_000);

test("a client that follows the log is the only one that notices", async () => {
  const { lighter, daemon } = ground;
  await lighter.must("run", "-d", "--name", "followed", "busybox", "sh", "-c", TICKS);
  for (let round = 0; round < count(3, 30); round++) {
    await daemon.end("SIGKILL");
    await daemon.start();
    expect((await inspect("followed")).State.Running).toBe(true);
    const exec = await lighter.run(["exec", "followed", "echo", "works"]);
    expect(exec.stdout).toBe("works\n");
  }
  const numbers = (await lighter.must("logs", "followed")).split("\n").map(Number);
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, n) => n));
  await figure(
    "spine",
    "kills of the daemon under a container that writes every 10 ms, lines lost",
    `${count(3, 30)} kills, 0 of ${numbers.length} lost`,
  );
  await lighter.must("rm", "-f", "followed");
}, 300_000);

test("kill -9 at any point of a run leaves nothing that the next start does not adopt or clean", async () => {
  const { lighter, daemon } = ground;
  for (let round = 0; round < count(8, 100); round++) {
    const running = lighter.spawn(["run", "-d", "--name", `cut-${round}`, "busybox", "sleep", "600"]);
    await Bun.sleep(round * 7);
    await daemon.end("SIGKILL");
    await running.exited;
    await daemon.start();
    const listed = await daemon.json<{ Names: string[]; State: string }[]>("GET", "/containers/json?all=1");
    for (const { Names, State } of listed) {
      const name = Names[0]?.slice(1) ?? "";
      if (State === "running") expect((await lighter.run(["exec", name, "true"])).code).toBe(0);
      expect((await lighter.run(["rm", "-f", name])).code).toBe(0);
    }
  }
  expect(await daemon.json<unknown[]>("GET", "/containers/json?all=1")).toEqual([]);
  expect((await lighter.run(["run", "--rm", "busybox", "echo", "fine"])).stdout).toBe("fine\n");
}, 600_000);

test("SIGTERM ends the daemon with 0 and leaves containers running", async () => {
  const { lighter, daemon } = ground;
  await lighter.must("run", "-d", "--name", "stays", "busybox", "sh", "-c", TICKS);
  const { Pid } = (await inspect("stays")).State;
  expect(await daemon.end("SIGTERM")).toBe(0);
  process.kill(Pid, 0);
  await daemon.start();
  expect((await inspect("stays")).State).toMatchObject({ Running: true, Pid });
  expect(await lighter.must("stop", "-t", "0", "stays")).toBe("stays");
  await lighter.must("rm", "stays");
});

test("an attached --rm container that ends while the daemon is down is removed by the next start", async () => {
  const { lighter, daemon } = ground;
  await lighter.must("run", "-d", "--rm", "--name", "brief", "busybox", "sleep", "0.5");
  await daemon.end("SIGKILL");
  await Bun.sleep(1000);
  await daemon.start();
  await until("it is removed", async () => (await daemon.api("GET", "/containers/brief/json")).status === 404);
});
