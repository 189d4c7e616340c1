/** Input and output of containers: nothing lost, nobody blocked, whoever leaves. Deadline: 240 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { count, randomOf } from "./harness/counts.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { Terminal } from "./harness/terminal.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

const MEGABYTE = 1 << 20;

function randomBytes(size: number): Uint8Array<ArrayBuffer> {
  const random = randomOf();
  const block = Uint8Array.from({ length: 65_521 }, () => Math.floor(random() * 256)); // a prime: no block lines up with a buffer
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += block.length) bytes.set(block.subarray(0, Math.min(block.length, size - at)), at);
  return bytes;
}

function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

async function hashOf(stream: ReadableStream<Uint8Array>): Promise<{ hash: string; size: number }> {
  const hasher = new Bun.CryptoHasher("sha256");
  let size = 0;
  for await (const chunk of stream) {
    hasher.update(chunk);
    size += chunk.length;
  }
  return { hash: hasher.digest("hex"), size };
}

for (const name of CLIENTS) {
  test(`${name}: bytes through run -i cat come back whole, by hash`, async () => {
    const size = count(name === "lighter" ? 40 : 20, 100) * MEGABYTE + 12_345;
    const bytes = randomBytes(size);
    const { program, env } = ground.client(name);
    const child = Bun.spawn([program, "run", "-i", "--rm", "busybox", "cat"], {
      env: { ...process.env, ...env },
      stdin: bytes,
      stderr: "pipe",
    });
    expect(await hashOf(child.stdout)).toEqual({ hash: sha256(bytes), size });
    expect(await child.exited).toBe(0);
  }, 150_000);

  test(`${name}: a reader that sleeps keeps nobody from removing the container`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const wakes = ground.path(`${container}-wakes`);
    const line = `${client.line("run", "--rm", "--name", container, "busybox", "yes")} | (while [ ! -e ${wakes} ]; do sleep 0.1; done; head -1)`;
    const pipe = Bun.spawn(["sh", "-c", line], { stdout: "pipe", stderr: "pipe" });
    await until("it runs", async () => (await ground.lighter.run(["inspect", container])).code === 0);
    await Bun.sleep(1000);
    expect((await ground.lighter.run(["rm", "-f", container])).code).toBe(0);
    writeFileSync(wakes, "");
    expect(await pipe.stdout.text()).toBe("y\n");
    await pipe.exited;
    expect((await ground.lighter.run(["inspect", container])).code).toBe(1);
  });

  test(`${name}: standard output and error stay apart, in order each`, async () => {
    const { stdout, stderr } = await ground
      .client(name)
      .run(["run", "--rm", "busybox", "sh", "-c", "for n in $(seq 500); do echo o$n; echo e$n >&2; done"]);
    const lines = (letter: string): string => Array.from({ length: 500 }, (_, n) => `${letter}${n + 1}\n`).join("");
    expect(stdout).toBe(lines("o"));
    expect(stderr).toBe(lines("e"));
  });

  test(`${name}: the end of input reaches the container, its last output the client`, async () => {
    const { code, stdout } = await ground
      .client(name)
      .run(["run", "-i", "--rm", "busybox", "sh", "-c", "wc -c; sleep 0.3; echo last; exit 3"], { stdin: "12345" });
    expect({ code, words: stdout.split(/\s+/).filter(Boolean) }).toEqual({ code: 3, words: ["5", "last"] });
  });

  test(`${name}: without -i the container's input is empty`, async () => {
    expect((await ground.client(name).run(["run", "--rm", "busybox", "cat"], { stdin: "not for you" })).stdout).toBe("");
  });

  test(`${name}: of two clients on one container one leaves, the other goes on`, async () => {
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
      "n=0; while [ ! -e /tmp/left ]; do echo $n; n=$((n+1)); sleep 0.1; done; last=$((n+10)); while [ $n -lt $last ]; do echo $n; n=$((n+1)); done",
    );
    const leaves = client.spawn(["attach", "--no-stdin", "--sig-proxy=false", container]);
    const stays = client.spawn(["attach", "--no-stdin", container]);
    let seen = "";
    const reading = (async () => {
      for await (const piece of stays.stdout) seen += Buffer.from(piece).toString();
    })();
    await leaves.stdout.getReader().read();
    await until("both see it", () => seen !== "");
    leaves.kill("SIGKILL");
    await leaves.exited;
    await client.must("exec", container, "touch", "/tmp/left");
    await reading;
    const lines = seen.trimEnd().split("\n").map(Number);
    expect(lines.at(-1)).toBe(Number((await client.must("logs", "--tail", "1", container)).trim()));
    expect(lines).toEqual(Array.from({ length: lines.length }, (_, n) => (lines[0] ?? 0) + n));
    expect(await stays.exited).toBe(0);
    await client.must("rm", "-f", container);
  });

  test(`${name}: two clients with input: what either types arrives, and one may leave`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("run", "-dit", "--name", container, "busybox", "sh", "-c", "stty -echo; while read line; do echo got $line; done");
    await until("it runs", async () => (await client.must("inspect", "-f", "{{.State.Running}}", container)) === "true");
    {
      await using leaves = await Terminal.open(client.line("attach", container));
      await using stays = await Terminal.open(client.line("attach", container));
      // What is told before both are attached only one of them sees.
      await until("both see it", async () => {
        await leaves.enter("first");
        await Bun.sleep(300);
        return /^got first$/m.test(await leaves.screen()) && /^got first$/m.test(await stays.screen());
      });
      await leaves[Symbol.asyncDispose]();
      await stays.enter("second");
      await stays.shows(/^got second$/m);
    }
    expect(await client.must("inspect", "-f", "{{.State.Running}}", container)).toBe("true");
    expect((await client.must("logs", container)).replaceAll("\r", "")).toMatch(/^(got first\n)+got second$/);
    await client.must("rm", "-f", container);
  });

  test(`${name}: much output to a reader that pauses, while others join and leave, comes whole, each stream in order`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const script = `for n in $(seq 12); do yes out$n | head -c 1000003; yes err$n | head -c 300007 >&2; done`;
    const child = client.spawn(["run", "--rm", "--name", container, "busybox", "sh", "-c", script]);
    const errors = hashOf(child.stderr);
    const hasher = new Bun.CryptoHasher("sha256");
    let size = 0;
    let pauses = 0;
    for await (const chunk of child.stdout) {
      hasher.update(chunk);
      size += chunk.length;
      if (size / (3 * MEGABYTE) < pauses + 1) continue;
      pauses++;
      const other = ground.lighter.spawn(["attach", "--no-stdin", "--sig-proxy=false", container]);
      await Bun.sleep(100);
      other.kill("SIGKILL");
      await other.exited;
    }
    const all = (word: string, each: number): Uint8Array =>
      Buffer.concat(Array.from({ length: 12 }, (_, n) => Buffer.alloc(each, `${word}${n + 1}\n`)));
    expect(await child.exited).toBe(0);
    expect({ hash: hasher.digest("hex"), size }).toEqual({ hash: sha256(all("out", 1000003)), size: 12 * 1000003 });
    expect(await errors).toEqual({ hash: sha256(all("err", 300007)), size: 12 * 300007 });
  });

  test(`${name}: a client without --rm that is killed leaves its container running`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    const running = client.spawn(["run", "--name", container, "busybox", "sh", "-c", "while :; do echo tick; sleep 0.05; done"]);
    await until("it ticks", async () => (await ground.lighter.run(["logs", container])).stdout.includes("tick"));
    running.kill("SIGKILL");
    await running.exited;
    await Bun.sleep(300);
    const before = (await ground.lighter.must("logs", container)).length;
    await until("it ticks on", async () => (await ground.lighter.must("logs", container)).length > before);
    await ground.lighter.must("rm", "-f", container);
  });
}

test("a burst of output is in the log to the last byte", async () => {
  const container = ground.name();
  const lines = count(200_000, 1_000_000);
  await ground.lighter.must("run", "--name", container, "-d", "busybox", "seq", String(lines));
  await ground.lighter.must("wait", container);
  const child = ground.lighter.spawn(["logs", container]);
  const expected = new Bun.CryptoHasher("sha256");
  for (let n = 1; n <= lines; n++) expected.update(`${n}\n`);
  expect((await hashOf(child.stdout)).hash).toBe(expected.digest("hex"));
  await ground.lighter.must("rm", container);
});

test("half-close over the raw API: input ends, output goes on, with and without the Upgrade header", async () => {
  for (const upgrade of ["Connection: Upgrade\r\nUpgrade: tcp\r\n", ""]) {
    const { Id } = await ground.daemon.json<{ Id: string }>("POST", "/containers/create", {
      body: {
        Image: "busybox",
        Cmd: ["sh", "-c", "cat; echo end"],
        OpenStdin: true,
        StdinOnce: true,
        AttachStdin: true,
        AttachStdout: true,
      },
    });
    const chunks: Uint8Array[] = [];
    const closed = Promise.withResolvers<void>();
    const socket = await Bun.connect({
      unix: ground.daemon.socket,
      allowHalfOpen: true,
      socket: { data: (_, data) => void chunks.push(Uint8Array.from(data)), end: () => closed.resolve(), close: () => closed.resolve() },
    });
    socket.write(
      `POST /v1.41/containers/${Id}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: lighter\r\n${upgrade}Content-Length: 0\r\n\r\n`,
    );
    await until("the daemon answers", () => chunks.length > 0);
    const head = Buffer.concat(chunks).toString();
    expect(head).toStartWith(upgrade === "" ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 101 UPGRADED\r\n");
    await ground.daemon.api("POST", `/containers/${Id}/start`);
    socket.write("typed\n");
    socket.shutdown();
    await closed.promise;
    const whole = Buffer.concat(chunks);
    const body = whole.subarray(whole.indexOf("\r\n\r\n") + 4);
    const frames = Buffer.concat([frame(1, "typed\n"), frame(1, "end\n")]);
    expect(textOfFrames(body)).toEqual(textOfFrames(frames));
    await ground.daemon.api("DELETE", `/containers/${Id}?force=1`);
  }
});

function frame(stream: number, text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(text.length, 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** The text of each stream; frames may be cut anywhere. */
function textOfFrames(bytes: Buffer): Record<number, string> {
  const texts: Record<number, string> = {};
  for (let at = 0; at < bytes.length;) {
    const stream = bytes[at] ?? 0;
    const size = bytes.readUInt32BE(at + 4);
    texts[stream] = (texts[stream] ?? "") + bytes.toString("utf8", at + 8, at + 8 + size);
    at += 8 + size;
  }
  return texts;
}
