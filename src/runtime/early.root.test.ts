import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { Cgroup } from "./cgroup.ts";
import { readCgroupHost } from "./cgroup-host.ts";
import { Collected, type Fixture, openFixture, reopen, traces, until } from "./fixture.ts";
import type { TaskSpec } from "./runtime.ts";

describe.skipIf(process.getuid?.() !== 0)("a monitor that is begun early", () => {
  let fixture: Fixture;
  beforeAll(async () => {
    fixture = await openFixture();
  });
  afterAll(async () => {
    await fixture?.close();
  });

  /** The monitors of a container, by its id on their command lines. */
  function monitorsOf(id: string): number[] {
    const pids = new Cgroup(readCgroupHost(), `${fixture.options.cgroupParent}/monitors`).pids();
    return pids.filter((pid) => commandOf(pid).includes(id));
  }

  function commandOf(pid: number): string[] {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    } catch {
      return [];
    }
  }

  async function outputOf(spec: TaskSpec): Promise<string> {
    const task = await fixture.runtime.create(spec);
    const sink = new Collected();
    const client = task.attach(sink, { stdin: false, stdout: true, stderr: true });
    await task.start();
    await task.exited;
    await client.ended;
    await task.delete();
    return sink.text();
  }

  test("is the one that runs the container", async () => {
    const spec = fixture.spec(["echo", "early"]);
    const drop = fixture.runtime.begin(spec);
    await until(() => monitorsOf(spec.id).length === 1);
    const [early] = monitorsOf(spec.id);
    const task = await fixture.runtime.create(spec);
    expect(task.record.monitor.pid).toBe(early ?? 0);
    await drop();
    expect(monitorsOf(spec.id)).toEqual([early ?? 0]);
    await task.start();
    expect((await task.exited).code).toBe(0);
    await task.delete();
    expect(traces(fixture)).toEqual([]);
  });

  test("is there at once or later, whenever the container is made", async () => {
    for (const wait of [0, 1, 3, 30]) {
      const spec = fixture.spec(["echo", String(wait)]);
      fixture.runtime.begin(spec);
      if (wait > 0) await Bun.sleep(wait);
      expect(await outputOf(spec)).toBe(`${wait}\n`);
    }
    expect(traces(fixture)).toEqual([]);
  });

  test("goes without a trace where the container is not made", async () => {
    for (const wait of [0, 20]) {
      const spec = fixture.spec(["true"]);
      const drop = fixture.runtime.begin(spec);
      if (wait > 0) await Bun.sleep(wait);
      await drop();
      expect(monitorsOf(spec.id)).toEqual([]);
      expect(traces(fixture)).toEqual([]);
      await drop();
    }
  });

  test("gives way where the container turns out to be another one", async () => {
    const spec = fixture.spec(["cat"]);
    fixture.runtime.begin(spec);
    const task = await fixture.runtime.create({ ...spec, stdin: "once" });
    const sink = new Collected();
    const client = task.attach(sink, { stdin: true, stdout: true, stderr: true });
    await task.start();
    await client.write(Buffer.from("through\n"));
    client.closeInput();
    await task.exited;
    await client.ended;
    expect(sink.text()).toBe("through\n");
    await task.delete();
    expect(monitorsOf(spec.id)).toEqual([]);
    expect(traces(fixture)).toEqual([]);
  });

  test("that cannot be spawned fails the container, and nothing stays", async () => {
    const spec = fixture.spec(["true"]);
    const broken = { ...spec, rootfs: { ...spec.rootfs, lower: ["/no/such/layer"] } };
    const drop = fixture.runtime.begin(broken);
    await fixture.runtime.create(broken).then(
      () => expect.unreachable(),
      (error: unknown) => expect(String(error)).toContain("Cannot start the monitor"),
    );
    await drop();
    expect(traces(fixture)).toEqual([]);
  });

  test("ends with its daemon, and the next one takes away the rest", async () => {
    const spec = fixture.spec(["true"]);
    const script = `
      const { openFixtureAt } = await import(${JSON.stringify(`${import.meta.dir}/fixture.ts`)});
      const { runtime } = await openFixtureAt(${JSON.stringify(fixture.directory)}, ${JSON.stringify(fixture.options.cgroupParent)}, { defaultRuntime: "crun" });
      const spec = ${JSON.stringify(spec)};
      runtime.begin(spec);
      await Bun.sleep(60);
      console.log("begun");
      setInterval(() => {}, 1000);`;
    const daemon = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
    const { value } = await daemon.stdout.getReader().read();
    expect(Buffer.from(value ?? []).toString()).toBe("begun\n");
    daemon.kill("SIGKILL");
    await daemon.exited;
    await until(() => monitorsOf(spec.id).length === 0);
    const next = await reopen(fixture);
    await next.sweep(new Set());
    expect(traces(fixture)).toEqual([]);
    await next[Symbol.asyncDispose]();
    expect(readdirSync(`${fixture.options.execRoot}/containers`)).toEqual([]);
  });
});
