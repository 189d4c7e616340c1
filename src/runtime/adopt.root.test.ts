import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { now } from "../base/clock.ts";
import { Collected, type Fixture, openFixture, reopen, until } from "./fixture.ts";
import type { ExecRecord, Runtime, TaskRecord } from "./runtime.ts";

const ALL = { stdin: true, stdout: true, stderr: true };

/** What the daemon that dies has told before. */
interface Told {
  tasks: Record<string, TaskRecord>;
  exec: ExecRecord;
}

/** Runs in a process of its own, as a daemon that is killed. */
const DAEMON = `
import { openFixtureAt } from ${JSON.stringify(new URL("./fixture.ts", import.meta.url).pathname)};
const fixture = await openFixtureAt(process.argv[2], process.argv[3]);
const tasks = {};
const directory = process.argv[2];
const mounts = [{ destination: "/go", type: "bind", source: directory + "/go", options: ["bind"] }];
const after = (file) => "while [ ! -e /go/" + file + " ]; do sleep 0.02; done; ";
const start = async (name, args, more) => {
  const task = await fixture.runtime.create(fixture.spec(args, more));
  await task.start();
  tasks[name] = task.record;
  return task;
};
const count = (to) => "while [ $i -lt " + to + " ]; do echo $i; i=$((i+1)); sleep 0.01; done; ";
const lines = await start("lines", ["sh", "-c", "i=0; " + count(50) + after("killed") + count(100) + after("adopted") + count(150) + "exit 9"], { mounts });
await start("dies", ["sh", "-c", after("killed") + "exit 4"], { mounts });
await start("talks", ["sh", "-c", "while read x; do echo got $x; done; echo end"], { stdin: "open" });
await start("full", ["sh", "-c", "yes | head -c 3000000; exit 6"], { logFile: undefined });
await start("killed", ["sleep", "100"]);
const created = await fixture.runtime.create(fixture.spec(["sh", "-c", "exit 3"]));
tasks.created = created.record;
const id = "e".repeat(64);
const exec = await lines.exec({
  id,
  containerId: lines.record.id,
  directory: lines.record.directory + "/exec/" + id,
  process: fixture.spec(["sh", "-c", after("killed") + "exit 8"]).spec.process,
  terminal: false,
  stdin: false,
});
console.log(JSON.stringify({ tasks, exec: exec.record }));
await new Promise((resolve) => setTimeout(resolve, 60000));
`;

describe.skipIf(process.getuid?.() !== 0)("containers outlive the daemon", () => {
  let fixture: Fixture;
  let told: Told;
  let runtime: Runtime;
  let ended = 0n;

  beforeAll(async () => {
    fixture = await openFixture("crun");
    const script = `${fixture.directory}/daemon.ts`;
    mkdirSync(`${fixture.directory}/go`);
    await Bun.write(script, DAEMON);
    const daemon = Bun.spawn(["bun", script, fixture.directory, fixture.options.cgroupParent], { stdout: "pipe", stderr: "inherit" });
    let text = "";
    for await (const chunk of daemon.stdout) {
      text += Buffer.from(chunk).toString();
      if (text.includes("\n")) break;
    }
    told = JSON.parse(text) as Told;
    daemon.kill("SIGKILL");
    await daemon.exited;
    process.kill(told.tasks["killed"]?.init.pid ?? 0, "SIGKILL");
    writeFileSync(`${fixture.directory}/go/killed`, "");
    await until(() => [told.tasks["dies"], told.exec].every((record) => existsSync(`${record?.directory}/exit`)));
    ended = now();
    await Bun.sleep(200);
    runtime = await reopen(fixture);
  }, 60_000);

  afterAll(async () => {
    await runtime.sweep(new Set());
    await runtime[Symbol.asyncDispose]();
    await fixture.close();
  });

  const adopt = (name: string): ReturnType<Runtime["adopt"]> => runtime.adopt(told.tasks[name] as TaskRecord);

  test("an exec has its code", async () => {
    const exec = await runtime.adoptExec(told.exec);
    expect((await exec.exited).code).toBe(8);
    await exec.delete();
  });

  test("a running one goes on: no line is lost, its code is right", async () => {
    const task = await adopt("lines");
    const sink = new Collected();
    const client = task.attach(sink, ALL);
    writeFileSync(`${fixture.directory}/go/adopted`, "");
    const exit = await task.exited;
    await client.ended;
    expect(exit.code).toBe(9);
    const log = readFileSync(`${fixture.directory}/containers/${task.record.id}/log`, "utf8").trim().split("\n");
    expect(log.map((line) => Number(line.split(" ")[3]))).toEqual([...Array(150).keys()]);
    expect(sink.text()).toEndWith("149\n");
    await task.delete();
    expect(existsSync(task.record.directory)).toBe(false);
  });

  test("one that ended meanwhile has its code and its true time", async () => {
    const task = await adopt("dies");
    const exit = await task.exited;
    expect(exit.code).toBe(4);
    expect(exit.time <= ended).toBe(true);
    expect(exit.unknown).toBeUndefined();
    await task.delete();
  });

  test("one that was killed meanwhile", async () => {
    const task = await adopt("killed");
    expect((await task.exited).code).toBe(137);
    await task.delete();
  });

  test("stdin that was open still takes input", async () => {
    const task = await adopt("talks");
    const sink = new Collected();
    const client = task.attach(sink, ALL);
    await client.write(Buffer.from("one\n"));
    await until(() => sink.text().includes("got one\n"));
    expect(sink.text()).toBe("got one\n");
    await task.delete();
  });

  test("output that nobody took did not hold it up", async () => {
    const task = await adopt("full");
    expect((await task.exited).code).toBe(6);
    await task.delete();
  });

  test("one that was created starts", async () => {
    const task = await adopt("created");
    await task.start();
    expect((await task.exited).code).toBe(3);
    await task.delete();
  });

  test("sweep leaves what is kept and removes the rest, wherever its cgroup is", async () => {
    const keep = await fixture.runtime.create(fixture.spec(["sleep", "100"]));
    const lost = await fixture.runtime.create(fixture.spec(["sleep", "100"]));
    await lost.start();
    const other = fixture.spec(["sleep", "100"]);
    other.spec.linux.cgroupsPath = `${lost.record.cgroup.replace(/\/[^/]+$/, "")}/elsewhere/${other.id}`;
    const elsewhere = await fixture.runtime.create(other);
    await runtime.sweep(new Set([keep.record.id]));
    expect((await lost.exited).code).toBe(137);
    expect((await elsewhere.exited).code).toBe(137);
    expect(existsSync(elsewhere.record.directory)).toBe(false);
    // Its parent is the user's to remove.
    const parent = elsewhere.record.cgroup.replace(/\/[^/]+$/, "");
    await Bun.$`sh -c ${`rmdir /sys/fs/cgroup${parent} /sys/fs/cgroup/*${parent}`}`.nothrow().quiet();
    expect(existsSync(lost.record.directory)).toBe(false);
    await keep.start();
    keep.kill(9);
    expect((await keep.exited).code).toBe(137);
    await keep.delete();
  });
});
