/** What happens when a thread of the daemon dies: real Workers, really killed, by a message that none of them understands or by their end. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";
import { Collected, type Fixture, openFixture } from "./fixture.ts";

const root = process.getuid?.() === 0;
const RealWorker = globalThis.Worker;
/** The Workers that were started, newest last, by the names of their files. */
const started = new Map<string, Worker[]>();

class SeenWorker extends RealWorker {
  constructor(url: string | URL, options?: WorkerOptions) {
    super(url, options);
    const name = String(url).split("/").at(-1) ?? "";
    started.set(name, [...(started.get(name) ?? []), this]);
  }
}

/** The one that works now. */
function newest(name: string): Worker {
  const worker = started.get(name)?.at(-1);
  if (worker === undefined) throw new Error(`no ${name} was started`);
  return worker;
}

async function died(worker: Worker): Promise<void> {
  await new Promise((resolve) => worker.addEventListener("close", resolve, { once: true }));
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1500; tries++) {
    if (await condition()) return;
    await Bun.sleep(20);
  }
  throw new Error(`waited in vain until ${what}`);
}

/** Set in the process of its own in which this file runs once more: elsewhere, earlier tests may have started threads that nobody sees here. */
const ALONE = process.env["LIGHTER_THREADS"] !== undefined;

test.if(root && !ALONE)(
  "threads that die, in a process of its own",
  async () => {
    const child = Bun.spawn([process.execPath, "test", "--timeout", "60000", import.meta.path], {
      env: { ...process.env, LIGHTER_THREADS: "1" },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    expect(code === 0 ? "" : `${output}${errors}`).toBe("");
    expect(errors).toMatch(/\n +4 pass\n/);
  },
  240_000,
);

function threads(): void {
  let fixture: Fixture;
  beforeAll(async () => {
    globalThis.Worker = SeenWorker;
    fixture = await openFixture();
  });
  afterAll(async () => {
    globalThis.Worker = RealWorker;
    await fixture.remove();
  });

  async function make(cmd: string, host: HostConfig = {}, config: ContainerConfig = {}): Promise<string> {
    const body = { Image: "busybox", Cmd: ["sh", "-c", cmd], ...config, HostConfig: { NetworkMode: "host", ...host } };
    return (await fixture.containers.create(undefined, body, {})).id;
  }

  test("the spawn thread: what it was asked fails with a sentence, the next start works", async () => {
    const [waits, later] = [await make("sleep 100"), await make("echo later")];
    const thread = newest("spawn.worker.ts");
    const gone = died(thread);
    thread.postMessage(null);
    const refused: unknown = await fixture.containers.start(waits).then(
      () => "started",
      (error: unknown) => error,
    );
    await gone;
    if (refused !== "started") {
      expect((refused as Error).message).toContain("The spawn thread died while it was at work: TypeError");
      expect((await fixture.containers.inspect(waits)).State?.Status).toBe("created");
      await fixture.containers.start(waits);
    }
    expect((await fixture.containers.inspect(waits)).State?.Running).toBe(true);
    await fixture.containers.start(later);
    expect((await fixture.containers.wait(later, "not-running").result).statusCode).toBe(0);
    expect(newest("spawn.worker.ts")).not.toBe(thread);
    await fixture.containers.remove(waits, { force: true, volumes: true, link: false });
  }, 60_000);

  test("the epoll thread: output and exits of what runs go on", async () => {
    const id = await make("i=0; while [ ! -e /tmp/end ]; do echo $i; i=$((i+1)); sleep 0.01; done; echo over; exit 7");
    const sink = new Collected();
    await fixture.containers.start(id);
    await fixture.containers.attach(id, sink, { logs: false, stream: true, stdin: false, stdout: true, stderr: true });
    await until("something was read", () => sink.text().length > 0);
    const thread = newest("epoll.worker.ts");
    const gone = died(thread);
    thread.terminate();
    await gone;
    await until("another thread is there", () => newest("epoll.worker.ts") !== thread);
    const before = sink.text().length;
    await until("more was read", () => sink.text().length > before);
    const { exitCode } = await Bun.$`touch ${`/proc/${(await fixture.containers.inspect(id)).State?.Pid}/root/tmp/end`}`.nothrow();
    expect(exitCode).toBe(0);
    expect((await fixture.containers.wait(id, "not-running").result).statusCode).toBe(7);
    await sink.ended;
    expect(sink.text()).toEndWith("over\n");
  }, 60_000);

  test("a file thread: its jobs fail with a sentence, the next ones run in another", async () => {
    const id = await make("true");
    expect((await fixture.containers.stat(id, "/bin/busybox")).name).toBe("busybox");
    const thread = newest("files.worker.ts");
    const gone = died(thread);
    thread.postMessage(null);
    const asked: unknown = await fixture.containers.stat(id, "/bin/busybox").then(
      ({ name }) => name,
      (error: unknown) => error,
    );
    await gone;
    if (asked !== "busybox") expect((asked as Error).message).toContain("The file thread died while it was at work: TypeError");
    expect((await fixture.containers.stat(id, "/bin/busybox")).name).toBe("busybox");
    await fixture.containers.remove(id, { force: false, volumes: false, link: false });
  }, 60_000);

  test("the thread that sends logs: the next one goes on where the receiver was", async () => {
    const lines: string[] = [];
    await using receiver = await listen(lines);
    const id = await make("i=0; while [ ! -e /tmp/end ]; do echo line $i; i=$((i+1)); sleep 0.02; done; echo over", {
      LogConfig: { Type: "syslog", Config: { "syslog-address": `tcp://127.0.0.1:${receiver.port}` } },
    });
    await fixture.containers.start(id);
    await until("lines arrive", () => lines.length > 5);
    const thread = newest("log-ship.worker.ts");
    const gone = died(thread);
    thread.postMessage(null);
    await gone;
    const before = lines.length;
    await until("more lines arrive", () => lines.length > before + 5);
    await Bun.$`touch ${`/proc/${(await fixture.containers.inspect(id)).State?.Pid}/root/tmp/end`}`;
    await until("the last line arrives", () => lines.at(-1)?.endsWith("over") === true);
    const numbers = new Set(lines.flatMap((line) => /line (\d+)$/.exec(line)?.[1] ?? []).map(Number));
    expect(numbers.size).toBe(Math.max(...numbers) + 1);
  }, 60_000);
}
if (ALONE) describe.skipIf(!root)("threads that die", threads);

/** A receiver of syslog over TCP that keeps whole lines. */
async function listen(lines: string[]): Promise<{ port: number } & AsyncDisposable> {
  const rests = new Map<unknown, string>();
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, data) {
        const parts = ((rests.get(socket) ?? "") + data.toString()).split("\n");
        rests.set(socket, parts.pop() ?? "");
        lines.push(...parts);
      },
    },
  });
  return { port: server.port, [Symbol.asyncDispose]: () => Promise.resolve(server.stop(true)) };
}
