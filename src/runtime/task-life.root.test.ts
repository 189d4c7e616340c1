import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { Collected, type Fixture, type RunArguments, failureOf, openFixture, runTask, traces, until } from "./fixture.ts";

const ALL = { stdin: true, stdout: true, stderr: true };

for (const name of ["crun", "runc"]) {
  describe.skipIf(process.getuid?.() !== 0 || Bun.which(name) === null)(`lives of tasks with ${name}`, () => {
    let fixture: Fixture;
    const run = (...args: RunArguments): ReturnType<typeof runTask> => runTask(fixture, ...args);
    beforeAll(async () => {
      fixture = await openFixture(name);
    });
    afterAll(async () => {
      await fixture.close();
    });

    test("pause stops it, resume lets it go on; pids and kill of all", async () => {
      const task = await fixture.runtime.create(fixture.spec(["sh", "-c", "sleep 100 & while :; do echo x; sleep 0.01; done"]));
      const sink = new Collected();
      task.attach(sink, ALL);
      await task.start();
      await until(() => sink.bytes > 4 && task.pids().length >= 2);
      await task.pause();
      const bytes = await stillAt(sink);
      await task.resume();
      await until(() => sink.bytes > bytes);
      task.kill(9, { all: true });
      expect((await task.exited).code).toBe(137);
      expect(() => task.kill(9)).toThrow(LighterError);
      await task.delete();
    });

    test("a paused one can be removed", async () => {
      const task = await fixture.runtime.create(fixture.spec(["sleep", "100"]));
      await task.start();
      await task.pause();
      await task.delete();
      expect((await task.exited).code).toBe(137);
      expect(traces(fixture)).toEqual([]);
    });

    test("a create that fails leaves nothing and says what the runtime said", async () => {
      const spec = fixture.spec(["nowhere"]);
      const failure = await fixture.runtime.create(spec).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(LighterError);
      expect(failure).toMatchObject({
        kind: "runtime",
        message: expect.stringMatching(/^OCI runtime create failed: .*executable file.* not found in \$PATH/),
      });
      expect(existsSync(spec.directory)).toBe(false);
      expect(traces(fixture)).toEqual([]);
      const bad = fixture.spec(["true"], { mounts: [{ destination: "/x", type: "bind", source: "/nonexistent", options: ["bind"] }] });
      expect(await failureOf(fixture.runtime.create(bad))).toContain("/nonexistent");
      expect(traces(fixture)).toEqual([]);
    });

    test("a root that cannot be mounted is told, and leaves nothing", async () => {
      const spec = fixture.spec(["true"]);
      spec.rootfs = { ...spec.rootfs, lower: ["/nonexistent/layer"] };
      expect(await failureOf(fixture.runtime.create(spec))).toMatch(/^Cannot start the monitor of container ".*": ENOENT: mount/);
      expect(traces(fixture)).toEqual([]);
    });

    test("hooks run, those of the end too", async () => {
      const spec = fixture.spec(["true"]);
      const mark = (name: string): { path: string; args: string[] }[] => [
        // One that does not read the state that it is given can end crun by SIGPIPE.
        { path: "/bin/sh", args: ["sh", "-c", `/bin/cat >/dev/null; : >${fixture.directory}/${name}`] },
      ];
      spec.spec.hooks = { poststart: mark("started"), poststop: mark("stopped") };
      await run(spec);
      expect(existsSync(`${fixture.directory}/started`)).toBe(true);
      expect(existsSync(`${fixture.directory}/stopped`)).toBe(true);
      expect(traces(fixture)).toEqual([]);
    });

    test("a create that is cancelled leaves nothing", async () => {
      const spec = fixture.spec(["true"]);
      const controller = new AbortController();
      const created = fixture.runtime.create(spec, { signal: controller.signal });
      setTimeout(() => controller.abort(), 3);
      expect(await failureOf(created)).toContain("cancelled");
      expect(existsSync(spec.directory)).toBe(false);
      expect(traces(fixture)).toEqual([]);
    });

    test("the same container again, at once: the earlier monitor has ended by then", async () => {
      const spec = fixture.spec(["sh", "-c", "echo x >>/tmp/n; cat /tmp/n"]);
      const lengths: number[] = [];
      for (let i = 0; i < 3; i++) {
        const task = await fixture.runtime.create(spec);
        const sink = new Collected();
        const client = task.attach(sink, ALL);
        await task.start();
        await task.exited;
        await client.ended;
        lengths.push(sink.bytes);
        if (i === 2) await task.delete();
      }
      expect(lengths).toEqual([2, 4, 6]);
    });

    test("a reader that stops holds the process, and nobody else once it shall go", async () => {
      const task = await fixture.runtime.create(fixture.spec(["yes"], { logFile: undefined }));
      let taken = 0;
      const client = task.attach(
        {
          write: (_, data) => {
            taken += data.length;
            return taken < 100_000;
          },
          drained: () => new Promise(() => undefined),
          end: () => undefined,
        },
        ALL,
      );
      await task.start();
      await until(() => taken >= 100_000);
      await Bun.sleep(200);
      await task.delete();
      expect(taken).toBeLessThan(1 << 20);
      client.detach();
    });

    test("a client that leaves frees the process for the others", async () => {
      const task = await fixture.runtime.create(fixture.spec(["yes"], { logFile: undefined }));
      const stuck = task.attach({ write: () => false, drained: () => new Promise(() => undefined), end: () => undefined }, ALL);
      const sink = new Collected();
      task.attach(sink, ALL);
      await task.start();
      await until(() => sink.bytes > 1 << 20);
      const bytes = await stillAt(sink);
      stuck.detach();
      await until(() => sink.bytes > bytes + (1 << 20));
      await task.delete();
    });

    test("the monitor is killed: it is told, and the end of the container still seen", async () => {
      const task = await fixture.runtime.create(fixture.spec(["sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 4"]));
      await task.start();
      process.kill(task.record.monitor.pid, "SIGKILL");
      await task.monitorLost;
      writeFileSync(`/proc/${task.record.init.pid}/root/tmp/go`, "");
      const exit = await task.exited;
      expect(exit.code).toBe(4);
      await task.delete();
      expect(traces(fixture)).toEqual([]);
    });

    test("the log is reopened after a rename, and no line is lost", async () => {
      const count = (enough: string): string => `while ${enough}; do echo $i; i=$((i+1)); sleep 0.002; done`;
      const spec = fixture.spec(["sh", "-c", `i=0; ${count("[ ! -e /tmp/reopened ]")}; j=$((i+50)); ${count("[ $i -lt $j ]")}`]);
      const task = await fixture.runtime.create(spec);
      await task.start();
      await until(() => existsSync(spec.logFile ?? "") && readFileSync(spec.logFile ?? "", "utf8").includes("F 20\n"));
      await Bun.$`mv ${spec.logFile} ${spec.logFile}.1`;
      await task.reopenLog();
      writeFileSync(`/proc/${task.record.init.pid}/root/tmp/reopened`, "");
      await task.exited;
      const lines = [`${spec.logFile}.1`, spec.logFile ?? ""].flatMap((file) => readFileSync(file, "utf8").trim().split("\n"));
      expect(lines.length).toBeGreaterThan(70);
      expect(lines.map((line) => Number(line.split(" ")[3]))).toEqual([...lines.keys()]);
      expect(readFileSync(spec.logFile ?? "", "utf8")).not.toBe("");
      await task.delete();
    });

    test("what an earlier life left does not stand for this one", async () => {
      const spec = fixture.spec(["sh", "-c", "exit 2"]);
      mkdirSync(spec.directory, { recursive: true });
      writeFileSync(`${spec.directory}/exit`, "77");
      mkdirSync(`${fixture.options.execRoot}/state/${name}/${spec.id}`, { recursive: true });
      expect((await run(spec)).exit.code).toBe(2);
    });

    test("many layers", async () => {
      const lower = [...Array(120).keys()].map((number) => `${fixture.directory}/layers/${"long-name-".repeat(6)}${number}`);
      for (const [index, directory] of lower.entries()) {
        mkdirSync(directory, { recursive: true });
        writeFileSync(`${directory}/${index}`, "");
      }
      const spec = fixture.spec(["sh", "-c", "ls / | grep -c '^[0-9]'"]);
      spec.rootfs = { ...spec.rootfs, lower: [...lower, ...spec.rootfs.lower] };
      expect((await run(spec)).sink.text()).toBe("120\n");
    });

    test("the root of a stopped container, also with many layers", async () => {
      const spec = fixture.spec(["sh", "-c", "echo mine >/tmp/file"]);
      await run(spec);
      const fd = await fixture.runtime.openRoot(spec.rootfs);
      expect(readFileSync(`/proc/self/fd/${fd}/tmp/file`, "utf8")).toBe("mine\n");
      writeFileSync(`/proc/self/fd/${fd}/tmp/given`, "");
      expect(readdirSync(`/proc/self/fd/${fd}/bin`)).toContain("busybox");
      closeSync(fd);
      expect((await run(fixture.spec(["ls", "/tmp"], { rootfs: spec.rootfs }))).sink.text()).toBe("file\ngiven\n");
    });

    test("sixteen at once", async () => {
      const results = await Promise.all([...Array(16).keys()].map((code) => run(fixture.spec(["sh", "-c", `echo ${code}; exit ${code}`]))));
      expect(results.map(({ exit }) => exit.code)).toEqual([...Array(16).keys()]);
      expect(results.map(({ sink }) => sink.text())).toEqual([...Array(16).keys()].map((code) => `${code}\n`));
      expect(traces(fixture)).toEqual([]);
    }, 60_000);
  });
}

/** Waits until what had been written before has arrived and nothing comes any more; how many bytes it was. */
async function stillAt(sink: Collected): Promise<number> {
  for (;;) {
    const { bytes } = sink;
    await Bun.sleep(200);
    if (sink.bytes === bytes) return bytes;
  }
}
