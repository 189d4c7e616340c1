import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { readCgroupHost } from "./cgroup-host.ts";
import { Collected, type Fixture, openFixture } from "./fixture.ts";
import type { ExecSpec, Exit, Task, TaskSpec } from "./runtime.ts";

const ALL = { stdin: true, stdout: true, stderr: true };
const root = process.getuid?.() === 0;

for (const name of ["crun", "runc"]) {
  describe.skipIf(!root || Bun.which(name) === null)(`tasks with ${name}`, () => {
    let fixture: Fixture;
    beforeAll(async () => {
      fixture = await openFixture(name);
    });
    afterAll(async () => {
      await fixture.close();
    });

    /** Runs a task to its end and removes it. */
    async function run(spec: TaskSpec, input?: (task: Task, sink: Collected) => Promise<void>): Promise<{ exit: Exit; sink: Collected }> {
      const task = await fixture.runtime.create(spec);
      try {
        const sink = new Collected();
        const client = task.attach(sink, ALL);
        await task.start();
        if (input) await input(task, sink);
        const exit = await task.exited;
        await client.ended;
        return { exit, sink };
      } finally {
        await task.delete();
      }
    }

    test("output of both streams, exit code and log", async () => {
      const spec = fixture.spec(["sh", "-c", "echo out; echo err >&2; exit 7"]);
      const { exit, sink } = await run(spec);
      expect(exit.code).toBe(7);
      expect(exit.unknown).toBeUndefined();
      expect(sink.text(1)).toBe("out\n");
      expect(sink.text(2)).toBe("err\n");
      expect(sink.ended).toBe(true);
      const lines = readFileSync(spec.logFile ?? "", "utf8")
        .trim()
        .split("\n");
      expect(lines.map((line) => line.split(" ").slice(1).join(" ")).sort()).toEqual(["stderr F err", "stdout F out"]);
    });

    test("nothing is left behind", async () => {
      const spec = fixture.spec(["true"]);
      const before = readdirSync("/proc/self/fd").length;
      await run(spec);
      await run(fixture.spec(["true"]));
      expect(readdirSync("/proc/self/fd").length).toBe(before);
      expect(existsSync(spec.directory)).toBe(false);
      expect(traces(fixture)).toEqual([]);
    });

    test("confined: seccomp, capabilities, private mounts, no leaked descriptor", async () => {
      const script = "grep -E '^(Seccomp|CapBnd|NoNewPrivs):' /proc/self/status; ls /proc/self/fd; readlink /proc/self/ns/mnt";
      const { sink } = await run(fixture.spec(["sh", "-c", script]));
      expect(sink.text(1)).toMatch(/Seccomp:\t2\n/);
      expect(sink.text(1)).toMatch(/CapBnd:\t00000000a80425fb\n/);
      // 0, 1, 2 and the one that ls reads the directory with.
      expect(sink.text(1)).toMatch(/\n0\n1\n2\n3\n/);
      expect(sink.text(1)).not.toMatch(/\n4\n/);
      expect(sink.text(1)).not.toContain(readlinkSync("/proc/self/ns/mnt"));
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(`${fixture.options.execRoot}/rootfs`);
      const kinds = new Set(readdirSync("/proc/self/task").map((tid) => readlinkSync(`/proc/self/task/${tid}/ns/mnt`)));
      expect(kinds.size).toBe(1);
    });

    test("seccomp forbids what Docker's profile forbids, and not when unconfined", async () => {
      const args = ["sh", "-c", "unshare -U true 2>&1 && echo allowed"];
      expect((await run(fixture.spec(args))).sink.text()).toContain("Operation not permitted");
      expect((await run(fixture.spec(args, { seccomp: { kind: "unconfined" } }))).sink.text()).toContain("allowed");
    });

    test("a profile of the user", async () => {
      const json = JSON.stringify({
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
      });
      const { sink } = await run(fixture.spec(["/bin/busybox", "mkdir", "/x"], { seccomp: { kind: "custom", json } }));
      expect(sink.text(2)).toContain("No space left");
      const bad = fixture.runtime.create(fixture.spec(["true"], { seccomp: { kind: "custom", json: "{" } }));
      expect(await failureOf(bad)).toContain("Decoding seccomp profile failed");
    });

    test("death by a signal is 128 + its number", async () => {
      const { exit } = await run(fixture.spec(["sleep", "100"]), async (task) => {
        await Promise.resolve(task.kill(9));
      });
      expect(exit.code).toBe(137);
      expect(exit.oomKilled).toBe(false);
    });

    test("a signal that the program handles", async () => {
      const { exit, sink } = await run(
        fixture.spec(["sh", "-c", "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done"]),
        async (task, output) => {
          await until(() => output.text().includes("ready"));
          task.kill(15);
        },
      );
      expect(exit.code).toBe(3);
      expect(sink.text()).toContain("got");
    });

    test("100 MB through stdin and back arrive unchanged, then EOF", async () => {
      const hash = new Bun.CryptoHasher("sha256");
      const sent = new Bun.CryptoHasher("sha256");
      const task = await fixture.runtime.create(fixture.spec(["cat"], { stdin: "once", logFile: undefined }));
      let bytes = 0;
      const client = task.attach(
        {
          write: (_, data) => {
            hash.update(data);
            bytes += data.length;
            return true;
          },
          drained: () => Promise.resolve(),
          end: () => undefined,
        },
        ALL,
      );
      await task.start();
      const piece = crypto.getRandomValues(new Uint8Array(50_000));
      for (let i = 0; i < 2000; i++) {
        piece[i] = i;
        sent.update(piece);
        await client.write(piece.slice());
      }
      client.closeInput();
      expect((await task.exited).code).toBe(0);
      await task.delete();
      expect(bytes).toBe(100_000_000);
      expect(hash.digest("hex")).toBe(sent.digest("hex"));
    }, 60_000);

    test("stdin that stays open outlives a client; without stdin there is /dev/null", async () => {
      const { sink } = await run(
        fixture.spec(["sh", "-c", "read a; echo $a; read b; echo $b"], { stdin: "open" }),
        async (task, output) => {
          const first = task.attach(new Collected(), ALL);
          await first.write(Buffer.from("one\n"));
          first.closeInput();
          first.detach();
          await until(() => output.text().includes("one"));
          await task.attach(new Collected(), ALL).write(Buffer.from("two\n"));
        },
      );
      expect(sink.text()).toBe("one\ntwo\n");
      expect((await run(fixture.spec(["wc", "-c"]))).sink.text()).toBe("0\n");
    });

    test("input to a process that has closed its own is dropped, and nobody spins over it", async () => {
      const task = await fixture.runtime.create(fixture.spec(["sh", "-c", "exec 0<&-; echo closed; sleep 100"], { stdin: "once" }));
      const sink = new Collected();
      const client = task.attach(sink, ALL);
      await task.start();
      await until(() => sink.text().includes("closed"));
      for (let i = 0; i < 50; i++) await client.write(new Uint8Array(8192));
      const ticks = (): number => {
        const fields = readFileSync(`/proc/${task.record.monitor.pid}/stat`, "utf8").split(" ");
        return Number(fields[13]) + Number(fields[14]);
      };
      const before = ticks();
      await Bun.sleep(200);
      expect(ticks() - before).toBeLessThan(5);
      await task.delete();
    });

    test("a terminal: size, resize, input", async () => {
      const script = "stty size; while [ \"$(stty size)\" = '20 70' ]; do sleep 0.02; done; stty size; read x; echo got $x";
      const spec = fixture.spec(["sh", "-c", script], { terminal: true, stdin: "open", size: { height: 20, width: 70 } });
      const { sink, exit } = await run(spec, async (task, output) => {
        await until(() => output.text().includes("20 70"));
        task.resize({ height: 1, width: 1 });
        task.resize({ height: 30, width: 100 });
        await until(() => output.text().includes("30 100"));
        await task.attach(new Collected(), ALL).write(Buffer.from("word\n"));
      });
      expect(sink.text()).toContain("got word");
      expect(sink.text(2)).toBe("");
      expect(exit.code).toBe(0);
    });

    test.skipIf(!readCgroupHost().controllers.includes("memory"))(
      "out of memory is told",
      async () => {
        const spec = fixture.spec(["sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]);
        spec.spec.linux.resources = { ...spec.spec.linux.resources, memory: { limit: 16 << 20 } };
        const { exit } = await run(spec);
        expect(exit.code).toBe(137);
        expect(exit.oomKilled).toBe(true);
      },
      20_000,
    );

    test("exec: output, code, stdin, terminal, confinement", async () => {
      const task = await fixture.runtime.create(fixture.spec(["sleep", "100"]));
      await task.start();
      const exec = async (args: string[], more: Partial<ExecSpec> = {}, input?: string): Promise<{ exit: Exit; text: string }> => {
        const sink = new Collected();
        const id = newId();
        const spec = { ...fixture.spec(args).spec.process };
        const process = await task.exec({
          id,
          containerId: task.record.id,
          directory: `${task.record.directory}/exec/${id}`,
          process: spec,
          terminal: false,
          stdin: false,
          ...more,
        });
        const client = process.attach(sink, ALL);
        if (input !== undefined) {
          await client.write(Buffer.from(input));
          client.closeInput();
        }
        const exit = await process.exited;
        await client.ended;
        await process.delete();
        expect(existsSync(process.record.directory)).toBe(false);
        return { exit, text: sink.text() };
      };
      try {
        expect(await exec(["sh", "-c", "echo a; echo b >&2; exit 5"])).toMatchObject({
          text: expect.stringMatching(/^(a\nb|b\na)\n$/),
          exit: { code: 5 },
        });
        expect((await exec(["wc", "-c"], { stdin: true }, "x".repeat(100_000))).text).toBe("100000\n");
        // crun sets the size a moment after the program runs.
        expect(
          (await exec(["sh", "-c", "sleep 0.1; stty size"], { terminal: true, stdin: true, size: { height: 33, width: 99 } })).text,
        ).toContain("33 99");
        expect((await exec(["grep", "Seccomp:", "/proc/self/status"])).text).toBe("Seccomp:\t2\n");
        expect((await exec(["true"])).exit.code).toBe(0);
        expect(await failureOf(exec(["/nowhere"]))).toMatch(/^OCI runtime exec failed: .*no such file or directory/i);
        expect(readdirSync(`${task.record.directory}/exec`)).toEqual([]);
      } finally {
        await task.delete();
      }
      expect(traces(fixture)).toEqual([]);
    }, 30_000);

    test("pause stops it, resume lets it go on; pids and kill of all", async () => {
      const task = await fixture.runtime.create(fixture.spec(["sh", "-c", "sleep 100 & while :; do echo x; sleep 0.01; done"]));
      const sink = new Collected();
      task.attach(sink, ALL);
      await task.start();
      await until(() => sink.bytes > 4 && task.pids().length >= 2);
      await task.pause();
      await Bun.sleep(50);
      const { bytes } = sink;
      await Bun.sleep(100);
      expect(sink.bytes).toBe(bytes);
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
        { path: "/bin/touch", args: ["touch", `${fixture.directory}/${name}`] },
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
      await Bun.sleep(200);
      const begun = performance.now();
      await task.delete();
      expect(performance.now() - begun).toBeLessThan(1000);
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
      await Bun.sleep(100);
      const { bytes } = sink;
      await Bun.sleep(100);
      expect(sink.bytes).toBe(bytes);
      stuck.detach();
      await until(() => sink.bytes > bytes + (1 << 20));
      await task.delete();
    });

    test("the monitor is killed: it is told, and the end of the container still seen", async () => {
      const task = await fixture.runtime.create(fixture.spec(["sh", "-c", "sleep 0.5; exit 4"]));
      await task.start();
      process.kill(task.record.monitor.pid, "SIGKILL");
      await task.monitorLost;
      const exit = await task.exited;
      expect(exit.code).toBe(4);
      await task.delete();
      expect(traces(fixture)).toEqual([]);
    });

    test("the log is reopened after a rename, and no line is lost", async () => {
      const spec = fixture.spec(["sh", "-c", "i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); sleep 0.002; done"]);
      const task = await fixture.runtime.create(spec);
      await task.start();
      await Bun.sleep(100);
      await Bun.$`mv ${spec.logFile} ${spec.logFile}.1`;
      await task.reopenLog();
      await task.exited;
      const lines = [`${spec.logFile}.1`, spec.logFile ?? ""].flatMap((file) => readFileSync(file, "utf8").trim().split("\n"));
      expect(lines.map((line) => Number(line.split(" ")[3]))).toEqual([...Array(200).keys()]);
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

    test("a user namespace", async () => {
      const spec = fixture.spec(["sh", "-c", "id -u; cat /proc/self/uid_map"]);
      const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      spec.spec.linux = {
        ...spec.spec.linux,
        namespaces: [...spec.spec.linux.namespaces, { type: "user" }],
        uidMappings: map,
        gidMappings: map,
      };
      await Bun.$`chmod 711 ${fixture.directory}`;
      const { sink } = await run(spec);
      expect(sink.text()).toMatch(/^0\n +0 +100000 +65536\n$/);
    });

    test("sixteen at once", async () => {
      const results = await Promise.all([...Array(16).keys()].map((code) => run(fixture.spec(["sh", "-c", `echo ${code}; exit ${code}`]))));
      expect(results.map(({ exit }) => exit.code)).toEqual([...Array(16).keys()]);
      expect(results.map(({ sink }) => sink.text())).toEqual([...Array(16).keys()].map((code) => `${code}\n`));
      expect(traces(fixture)).toEqual([]);
    }, 30_000);
  });
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "no failure",
    (error: unknown) => (error as Error).message,
  );
}

async function until(condition: () => boolean): Promise<void> {
  for (const begun = performance.now(); !condition(); await Bun.sleep(5))
    if (performance.now() - begun > 5_000) throw new Error("not within 5 s");
}

/** Everything that a container could have left: directories of the exec root, cgroups, mounts. */
function traces({ options }: Fixture): string[] {
  const list = (path: string): string[] =>
    existsSync(path)
      ? readdirSync(path, { withFileTypes: true })
          .filter((e) => e.isDirectory())
          .map((e) => `${path}/${e.name}`)
      : [];
  const groups = readdirSync("/sys/fs/cgroup").flatMap((name) => list(`/sys/fs/cgroup/${name}${options.cgroupParent}`));
  const states = list(`${options.execRoot}/state`).flatMap(list);
  return [
    ...list(`${options.execRoot}/containers`),
    ...list(`${options.execRoot}/rootfs`),
    ...states,
    ...groups.filter((path) => !path.endsWith("/monitors")),
  ];
}
