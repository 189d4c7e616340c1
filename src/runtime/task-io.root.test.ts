import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { newId } from "../base/ids.ts";
import { readCgroupHost } from "./cgroup-host.ts";
import { Collected, type Fixture, type RunArguments, failureOf, openFixture, runTask, traces, until } from "./fixture.ts";
import type { ExecSpec, Exit } from "./runtime.ts";

const ALL = { stdin: true, stdout: true, stderr: true };

for (const name of ["crun", "runc"]) {
  describe.skipIf(process.getuid?.() !== 0 || Bun.which(name) === null)(`tasks with ${name}`, () => {
    let fixture: Fixture;
    const run = (...args: RunArguments): ReturnType<typeof runTask> => runTask(fixture, ...args);
    beforeAll(async () => {
      fixture = await openFixture(name);
    });
    afterAll(async () => {
      await fixture.close();
    });

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
      await run(spec);
      // Others in this process open and close some, too: what each run would leave counts.
      const open = (): number => readdirSync("/proc/self/fd").length;
      const before = open();
      for (let times = 0; times < 8; times++) await run(fixture.spec(["true"]));
      await until(() => open() < before + 8);
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
      const kinds = new Set(readdirSync("/proc/self/task").flatMap((tid) => mountNamespaceOf(tid) ?? []));
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
      60_000,
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
        const sized = "while [ \"$(stty size)\" = '0 0' ]; do sleep 0.02; done; stty size";
        expect((await exec(["sh", "-c", sized], { terminal: true, stdin: true, size: { height: 33, width: 99 } })).text).toContain("33 99");
        expect((await exec(["grep", "Seccomp:", "/proc/self/status"])).text).toBe("Seccomp:\t2\n");
        expect((await exec(["true"])).exit.code).toBe(0);
        expect(await failureOf(exec(["/nowhere"]))).toMatch(/^OCI runtime exec failed: .*no such file or directory/i);
        expect(readdirSync(`${task.record.directory}/exec`)).toEqual([]);
      } finally {
        await task.delete();
      }
      expect(traces(fixture)).toEqual([]);
    }, 60_000);
  });
}

/** Of a thread of this process; nothing of one that has just ended. */
function mountNamespaceOf(tid: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/task/${tid}/ns/mnt`);
  } catch {
    return undefined;
  }
}
