/** Checkpoints: with runc and criu for real where criu works on this machine, and what is said where they cannot be. Deadline: 90 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { criuComplaint, criuFolder } from "../tools/criu.ts";
import { type ApiOptions, Daemon } from "./harness/daemon.ts";
import { Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

const complaint = await criuComplaint();
if (complaint !== undefined) console.log(`skipped: criu cannot work here: ${complaint}`);

const COUNTS = "i=0; while sleep 0.05; do i=$((i+1)); echo $i; done";

let ground: Ground;
const path = process.env["PATH"];
beforeAll(async () => {
  process.env["PATH"] = `${await criuFolder()}:${path}`;
  ground = await Ground.lay(["busybox"], ["--experimental"]);
}, 120_000);
afterAll(async () => {
  process.env["PATH"] = path;
  await ground?.[Symbol.asyncDispose]();
});

/** These operations are not in the definition of the API: nothing there to check answers against. */
async function refusal(
  daemon: Daemon,
  method: string,
  path: string,
  options: ApiOptions = {},
): Promise<{ status: number; message: string }> {
  const answer = await daemon.api(method, path, options);
  return { status: answer.status, ...((await answer.json()) as { message: string }) };
}

async function last(container: string): Promise<number> {
  // A line that is written meanwhile may come along.
  return Number((await ground.lighter.must("logs", "--tail", "1", container)).split("\n").at(-1));
}

async function counting(name: string, ...flags: string[]): Promise<void> {
  await ground.lighter.must("run", "-d", "--runtime", "runc", "--name", name, ...flags, "busybox", "sh", "-c", COUNTS);
  await until("it counts", async () => (await last(name)) > 2);
}

test.if(complaint === undefined)(
  "a container ends with its checkpoint and goes on where it was, on its network, with its files and volumes",
  async () => {
    await counting("one", "-v", "/data", "-p", "127.0.0.1::80");
    await ground.lighter.must("exec", "one", "sh", "-c", "echo kept > /root/file; echo kept > /data/file");
    expect(await ground.lighter.must("checkpoint", "create", "one", "first")).toBe("first");
    expect(await ground.lighter.must("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one")).toBe("exited 137");
    const before = await last("one");
    expect(await ground.lighter.must("checkpoint", "ls", "one")).toBe("CHECKPOINT NAME\nfirst");
    await ground.lighter.must("start", "--checkpoint", "first", "one");
    await until("it counts on", async () => (await last("one")) > before + 2);
    const numbers = (await ground.lighter.must("logs", "one")).split("\n").map(Number);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(await ground.lighter.must("exec", "one", "cat", "/root/file", "/data/file")).toBe("kept\nkept");
    const address = await ground.lighter.must("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "one");
    expect(await ground.lighter.must("exec", "one", "ip", "-4", "addr", "show", "dev", "eth0")).toContain(address);
    await ground.lighter.must("stop", "-t", "0", "one");
    expect(await ground.lighter.must("start", "one")).toBe("one");
    await ground.lighter.must("rm", "-fv", "one");
  },
);

test.if(complaint === undefined)("one that runs on, a folder of the user's, names in use, events, removal", async () => {
  await counting("two", "--network", "none");
  const since = Date.now() / 1000;
  const folder = ground.path("checkpoints");
  await ground.lighter.must("checkpoint", "create", "--leave-running", "--checkpoint-dir", folder, "two", "kept");
  expect(await ground.lighter.must("inspect", "-f", "{{.State.Status}}", "two")).toBe("running");
  expect(await readdir(folder)).toEqual(["kept"]);
  const again = await ground.lighter.run(["checkpoint", "create", "--checkpoint-dir", folder, "two", "kept"]);
  expect(again).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("checkpoint with name kept already exists for container two") as unknown,
  });
  expect(await ground.lighter.must("checkpoint", "ls", "two")).toBe("CHECKPOINT NAME");
  expect(await ground.client("docker 26.1").must("checkpoint", "ls", "--checkpoint-dir", folder, "two")).toBe("CHECKPOINT NAME\nkept");
  const events = await (await ground.daemon.api("GET", `/events?since=${since}&until=${Date.now() / 1000 + 0.1}`)).text();
  expect(events.split("\n").flatMap((line) => (line === "" ? [] : [(JSON.parse(line) as { Action: string }).Action]))).toEqual([
    "checkpoint",
  ]);
  const was = await last("two");
  await ground.lighter.must("kill", "two");
  await ground.lighter.must("wait", "two");
  await ground.lighter.must("start", "--checkpoint", "kept", "--checkpoint-dir", folder, "two");
  await until("it counts", async () => (await last("two")) > was);
  await ground.lighter.must("checkpoint", "rm", "--checkpoint-dir", folder, "two", "kept");
  expect(await readdir(folder)).toEqual([]);
  await ground.lighter.must("rm", "-f", "two");
});

test.if(complaint === undefined)("a restored container outlives the daemon", async () => {
  await counting("three");
  await ground.lighter.must("checkpoint", "create", "three", "it");
  await ground.lighter.must("start", "--checkpoint", "it", "three");
  await ground.daemon.end("SIGKILL");
  await ground.daemon.start();
  const was = await last("three");
  await until("it counts on", async () => (await last("three")) > was);
  await ground.lighter.must("rm", "-f", "three");
});

test("what cannot be is said", async () => {
  await ground.lighter.must("run", "-d", "--name", "crun", "--runtime", "crun", "busybox", "sleep", "600");
  const refused = await ground.lighter.run(["checkpoint", "create", "crun", "x1"]);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/runtime "crun" (was built without CRIU|finds no libcriu\S*); .*--runtime runc/),
  ]);
  expect(await ground.lighter.must("checkpoint", "ls", "crun")).toBe("CHECKPOINT NAME");
  expect(await refusal(ground.daemon, "POST", "/containers/crun/checkpoints", { body: { CheckpointID: "a/b" } })).toEqual({
    status: 400,
    message: "Invalid checkpoint ID (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
  });
  expect(await refusal(ground.daemon, "DELETE", "/containers/crun/checkpoints/x1")).toEqual({
    status: 404,
    message: "checkpoint x1 does not exist for container crun",
  });
  expect((await refusal(ground.daemon, "GET", "/containers/nobody/checkpoints")).status).toBe(404);
  await ground.lighter.must("kill", "crun");
  await ground.lighter.must("wait", "crun");
  expect((await ground.daemon.failure("POST", "/containers/crun/start?checkpoint=x1")).message).toBe(
    "checkpoint x1 does not exist for container crun",
  );
  expect((await refusal(ground.daemon, "POST", "/containers/crun/checkpoints", { body: { CheckpointID: "x1" } })).status).toBe(409);
  await ground.lighter.must("rm", "crun");
});

test("without --experimental the daemon says that it is off, as Docker's", async () => {
  await using plain = new Daemon(ground.path("plain"));
  await plain.start();
  expect(await refusal(plain, "GET", "/containers/x/checkpoints")).toEqual({
    status: 501,
    message: "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.",
  });
  expect(await plain.failure("POST", "/containers/x/start?checkpoint=y")).toEqual({
    status: 400,
    message: "checkpoint is only supported in experimental mode",
  });
  expect((await plain.api("GET", "/_ping")).headers.get("docker-experimental")).toBe("false");
  expect((await ground.daemon.api("GET", "/_ping")).headers.get("docker-experimental")).toBe("true");
  expect((await ground.daemon.json<{ ExperimentalBuild: boolean }>("GET", "/info")).ExperimentalBuild).toBe(true);
});
