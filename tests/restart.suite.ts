/** Restart policies: what is told while a container waits for its next start, and who may cut the wait short. Deadline: 90 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { eventsOf, stamp } from "./harness/told.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

interface Inspected {
  State: { Status: string; Running: boolean; Restarting: boolean; Pid: number; ExitCode: number };
  RestartCount: number;
}

const inspect = async (name: string): Promise<Inspected> => await ground.daemon.json<Inspected>("GET", `/containers/${name}/json`);

async function run(name: string, policy: string, script: string): Promise<void> {
  await ground.lighter.must("run", "-d", "--name", name, "--restart", policy, "busybox", "sh", "-c", script);
}

async function waits(name: string, restarts: number): Promise<void> {
  await until(`${name} waits for restart ${restarts}`, async () => {
    const { State, RestartCount } = await inspect(name);
    return State.Restarting && State.Pid === 0 && RestartCount >= restarts;
  });
}

test("between two runs it is restarting and never exited; the count and the code are right", async () => {
  const since = stamp();
  const seen = new Set<string>();
  await run("loop", "always", "exit 5");
  await until("it was restarted four times", async () => {
    const { State, RestartCount } = await inspect("loop");
    seen.add(`${State.Status} ${State.Running}`);
    if (State.Restarting) expect(State).toMatchObject({ Status: "restarting", ExitCode: 5 });
    return RestartCount >= 4;
  });
  seen.delete("running true");
  expect([...seen]).toEqual(["restarting true"]);
  for (const name of CLIENTS)
    expect(await ground.client(name).must("ps", "--filter", "name=loop", "--format", "{{.Status}}")).toMatch(
      /^(Restarting \(5\) .* ago|Up .*)$/,
    );
  const deaths = (await eventsOf(ground.daemon, { since, filters: { container: ["loop"], event: ["die"] } })).length;
  expect([deaths, deaths - 1]).toContain((await inspect("loop")).RestartCount);
  await ground.lighter.must("rm", "-f", "loop");
});

test("a policy counts to its end, and anew after a start by hand", async () => {
  await run("counted", "on-failure:2", "exit 3");
  const over = async (): Promise<boolean> => (await inspect("counted")).State.Status === "exited";
  await until("it is given up", over);
  expect(await inspect("counted")).toMatchObject({ RestartCount: 2, State: { ExitCode: 3 } });
  const since = stamp();
  await ground.lighter.must("start", "counted");
  await until("it is given up again", async () => {
    const starts = await eventsOf(ground.daemon, { since, filters: { container: ["counted"], event: ["start"] } });
    return starts.length === 3 && (await over());
  });
  expect(await inspect("counted")).toMatchObject({ RestartCount: 2 });
  await run("fine", "on-failure", "exit 0");
  await until("it is over", async () => (await inspect("fine")).State.Status === "exited");
  expect((await inspect("fine")).RestartCount).toBe(0);
  await ground.lighter.must("rm", "counted", "fine");
});

test("stop, kill, restart and rm reach a container that waits", async () => {
  for (const [command, ...last] of [
    ["stop", "die", "stop"],
    ["kill", "start", "die"],
  ]) {
    const since = stamp();
    await run("waiting", "always", "exit 1");
    // The fifth wait is more than a second long.
    await waits("waiting", 5);
    await ground.lighter.must(command ?? "", "waiting");
    expect((await inspect("waiting")).State).toMatchObject({ Status: "exited", Running: false, ExitCode: 1 });
    const told = await eventsOf(ground.daemon, { since, filters: { container: ["waiting"] } });
    expect(told.slice(-2).map(({ Action }) => Action)).toEqual(last);
    await ground.lighter.must("rm", "waiting");
  }
  await run("waiting", "always", "exit 1");
  await waits("waiting", 5);
  expect((await ground.daemon.failure("DELETE", "/containers/waiting")).status).toBe(409);
  expect((await ground.daemon.failure("POST", "/containers/waiting/pause")).message).toContain(
    "is restarting, wait until the container is running",
  );
  await ground.lighter.must("restart", "waiting");
  expect((await inspect("waiting")).RestartCount).toBeLessThan(5);
  await ground.lighter.must("rm", "-f", "waiting");
});

test("kill -9 of the daemon while containers wait: the last try that a policy allows is made, what was stopped stays so", async () => {
  await run("last", "on-failure:5", "exit 6");
  await run("kept", "unless-stopped", "sleep 600");
  await run("stopped", "unless-stopped", "sleep 600");
  await ground.lighter.must("stop", "-t", "0", "stopped");
  await waits("last", 5);
  const since = stamp();
  const pid = (await inspect("kept")).State.Pid;
  await ground.daemon.end("SIGKILL");
  await ground.daemon.start();
  await until("it was tried for the last time", async () => (await inspect("last")).State.Status === "exited");
  expect(await inspect("last")).toMatchObject({ RestartCount: 5, State: { ExitCode: 6 } });
  const told = await eventsOf(ground.daemon, { since, filters: { container: ["last"] } });
  expect(told.map(({ Action }) => Action)).toEqual(["start", "die"]);
  expect((await inspect("kept")).State).toMatchObject({ Status: "running", Pid: pid });
  expect((await inspect("stopped")).State.Status).toBe("exited");
  await ground.lighter.must("rm", "-f", "last", "kept", "stopped");
});
