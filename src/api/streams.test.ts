import { expect, test } from "bun:test";
import { LighterError } from "../base/errors.ts";
import type { StoredEvent } from "../state/events.ts";
import { encodeFrame } from "../wire/stdcopy.ts";
import type { Attachment, OutputSink } from "../wire/stream.ts";
import { ClientEnd, engineWith, request } from "./api.fixture.ts";

/** A process that the test plays. */
class Process implements Attachment {
  readonly #ended = Promise.withResolvers<void>();
  readonly ended = this.#ended.promise;
  sink: OutputSink | undefined;
  input = "";
  said: string[] = [];

  write(data: Uint8Array): Promise<void> {
    this.input += Buffer.from(data).toString("latin1");
    return Promise.resolve();
  }

  closeInput(): void {
    this.said.push("eof");
  }

  detach(reason?: "keys"): void {
    this.said.push(reason === undefined ? "detach" : "detach by keys");
  }

  exit(): void {
    this.sink?.end();
    this.#ended.resolve();
  }
}

function attachable(terminal: boolean): { process: Process; engine: ReturnType<typeof engineWith> } {
  const process = new Process();
  const engine = engineWith({
    containers: {
      terminal: () => terminal,
      attach: (_id, sink) => {
        process.sink = sink;
        return Promise.resolve(process);
      },
      inspectExec: () => ({ OpenStdin: true, ID: "x" }) as never,
      execTerminal: () => terminal,
      startExec: (id, { sink }) => {
        if (id === "broken") return Promise.reject(new LighterError("runtime", "exec: no such file"));
        if (id === "gone") return Promise.reject(new LighterError("conflict", "container is not running"));
        process.sink = sink;
        return Promise.resolve(process);
      },
    },
  });
  return { process, engine };
}

const ALL = "stream=1&stdin=1&stdout=1&stderr=1";

async function open(engine: ReturnType<typeof engineWith>, line: string, body?: string) {
  const outcome = await request(engine, line, body === undefined ? {} : { body });
  if (!("hijack" in outcome.answer)) throw new Error(`not hijacked: ${JSON.stringify(outcome.json)}`);
  const client = new ClientEnd();
  return { outcome, client, done: outcome.answer.run(client) };
}

test("attach frames the output of a process without a terminal, and passes input and its end on", async () => {
  const { process, engine } = attachable(false);
  const { outcome, client, done } = await open(engine, `POST /v1.43/containers/web/attach?${ALL}`);
  expect(outcome.headers["Content-Type"]).toBe("application/vnd.docker.multiplexed-stream");
  process.sink?.write(1, Buffer.from("out"));
  process.sink?.write(2, Buffer.from("err"));
  await client.type("in\x10\x11");
  client.finish();
  await Bun.sleep(0);
  process.exit();
  await done;
  expect(client.received).toBe("\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err");
  expect([process.input, process.said, client.ended]).toEqual(["in\x10\x11", ["eof", "detach"], true]);
});

test("attach is raw for a terminal; the detach keys leave the process alone", async () => {
  const { process, engine } = attachable(true);
  const { outcome, client, done } = await open(engine, `POST /v1.43/containers/web/attach?${ALL}&detachKeys=ctrl-a,d`);
  expect(outcome.headers["Content-Type"]).toBe("application/vnd.docker.raw-stream");
  process.sink?.write(1, Buffer.from("$ "));
  await client.type("ls\r\x01d");
  await done;
  expect([client.received, process.input, process.said]).toEqual(["$ ", "ls\r", ["detach by keys"]]);
});

test("clients before 1.42 get the same bytes under the old name", async () => {
  const { process, engine } = attachable(false);
  const { outcome, client, done } = await open(engine, `POST /v1.41/containers/web/attach?${ALL}`);
  expect(outcome.headers["Content-Type"]).toBe("application/vnd.docker.raw-stream");
  process.sink?.write(1, Buffer.from("x"));
  process.exit();
  await done;
  expect(client.received).toBe("\x01\0\0\0\0\0\0\x01x");
});

test("a client that vanishes is detached, its input ended", async () => {
  const { process, engine } = attachable(false);
  const { client, done } = await open(engine, `POST /containers/web/attach?${ALL}`);
  client.leave();
  await done;
  expect(process.said).toEqual(["eof", "detach"]);
});

test("wrong detach keys and unknown containers are answered before the connection is taken", async () => {
  const { engine } = attachable(true);
  const wrong = await request(engine, `POST /containers/web/attach?${ALL}&detachKeys=escape`);
  expect([wrong.status, wrong.json]).toEqual([400, { message: "Invalid detach keys (escape) provided" }]);
  const missing = engineWith({
    containers: {
      terminal: () => {
        throw new LighterError("not-found", "No such container: web");
      },
    },
  });
  expect((await request(missing, `POST /containers/web/attach?${ALL}`)).status).toBe(404);
});

test("exec: a program that cannot run is told in the stream, other failures by status", async () => {
  const { engine } = attachable(false);
  const { client, done } = await open(engine, "POST /exec/broken/start", `{"Detach":false,"Tty":false}`);
  await done;
  expect(client.received).toBe("\x01\0\0\0\0\0\0\x16exec: no such file\r\n".replace("\x16", "\x14"));
  expect((await request(engine, "POST /exec/gone/start", { body: "{}" })).status).toBe(409);
});

test("exec start: the head leaves before the process is there, and what fails then is told in the stream", async () => {
  const process = Promise.withResolvers<Process>();
  const engine = engineWith({
    containers: {
      inspectExec: () => ({ OpenStdin: false, ID: "x" }) as never,
      execTerminal: () => true,
      startExec: (_id, { begun }) => {
        begun?.();
        return process.promise;
      },
    },
  });
  const { client, done } = await open(engine, "POST /exec/x/start", "{}");
  process.reject(new LighterError("conflict", "the container has ended"));
  await done;
  expect(client.received).toBe("the container has ended\r\n");
});

test("exec start joins input and output", async () => {
  const { process, engine } = attachable(true);
  const { client, done } = await open(engine, "POST /exec/x/start", `{"Tty":true,"ConsoleSize":[24,80]}`);
  process.sink?.write(1, Buffer.from("hi"));
  await client.type("exit\r");
  process.exit();
  await done;
  expect([client.received, process.input]).toEqual(["hi", "exit\r"]);
});

/** A copy of options that leaves out what tests cannot compare. */
function without(options: object, ...names: string[]): object {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name)));
}

/** Frames with `|` for each header, without the length. */
function unframed(text: string): string {
  let shown = "";
  for (let at = 0; at < text.length;) {
    const length = Buffer.from(text, "latin1").readUInt32BE(at + 4);
    shown += `|${text.slice(at + 8, at + 8 + length)}`;
    at += 8 + length;
  }
  return shown;
}

/** Lines of standard output as the containers' part frames them. */
async function* frames(...lines: string[]): AsyncGenerator<Uint8Array> {
  for (const line of lines) yield encodeFrame(1, Buffer.from(line));
}

test("logs: the content type is the version's; one stream at least must be chosen", async () => {
  const engine = engineWith({
    containers: {
      terminal: () => false,
      logFrames: () => frames("one\n"),
    },
  });
  const { text, headers } = await request(engine, "GET /v1.43/containers/web/logs?stdout=1&timestamps=1");
  expect(headers["Content-Type"]).toBe("application/vnd.docker.multiplexed-stream");
  expect(unframed(text)).toBe("|one\n");
  const none = await request(engine, "GET /containers/web/logs?follow=1");
  expect(none.json).toEqual({ message: "Bad parameters: you must choose at least one stream" });
});

test("logs: long and short pieces arrive whole and in order, an error in the middle is told", async () => {
  const long = "x".repeat(70_000);
  const engine = engineWith({
    containers: {
      terminal: () => false,
      logFrames: async function* () {
        yield* frames("a\n", `${long}\n`, "b\n");
        for (let n = 0; n < 3000; n++) yield* frames(`${"line ".repeat(8)}\n`);
        throw new LighterError("internal", "the disk is gone");
      },
    },
  });
  const { text } = await request(engine, "GET /containers/web/logs?stdout=1&stderr=1");
  expect(unframed(text)).toBe(`|a\n|${long}\n|b\n${`|${"line ".repeat(8)}\n`.repeat(3000)}|Error grabbing logs: the disk is gone\n`);
});

test("logs: the query reaches the container's part", async () => {
  let asked: unknown;
  const engine = engineWith({
    containers: {
      terminal: () => true,
      logFrames: async function* (id, options) {
        asked = [id, without(options, "signal")];
        yield Buffer.from("raw");
      },
    },
  });
  const { text } = await request(engine, "GET /containers/web/logs?stdout=1&stderr=0&follow=true&tail=5&since=1700000000&until=0");
  expect(text).toBe("raw");
  expect(asked).toEqual([
    "web",
    { stdout: true, stderr: false, follow: true, timestamps: false, details: false, tail: 5, since: 1700000000_000000000n },
  ]);
});

test("wait answers with the code when it is known, and stops waiting when the client leaves", async () => {
  const exit = Promise.withResolvers<{ statusCode: number }>();
  let cancelled = 0;
  const engine = engineWith({ containers: { wait: () => ({ result: exit.promise, cancel: () => void cancelled++ }) } });
  const controller = new AbortController();
  const answer = request(engine, "POST /containers/web/wait?condition=next-exit", { signal: controller.signal });
  controller.abort();
  expect(cancelled).toBe(1);
  exit.resolve({ statusCode: 3 });
  expect((await answer).text).toBe('{"StatusCode":3}\n');
  const wrong = await request(engine, "POST /containers/web/wait?condition=never");
  expect([wrong.status, wrong.json]).toEqual([400, { message: 'invalid condition: "never"' }]);
});

test("events: one JSON object each, exact nanoseconds, old fields for old clients", async () => {
  const event: StoredEvent = {
    sequence: 1,
    time: 1700000000_123456789n,
    type: "container",
    action: "start",
    actor: "c1",
    attributes: { image: "busybox", name: "web" },
  };
  const engine = engineWith({
    events: async function* () {
      yield event;
    },
  });
  const { text } = await request(engine, "GET /events?since=0");
  expect(text).toBe(
    '{"Type":"container","Action":"start","Actor":{"ID":"c1","Attributes":{"image":"busybox","name":"web"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}\n',
  );
  const old = JSON.parse((await request(engine, "GET /v1.41/events")).text) as Record<string, unknown>;
  expect([old["status"], old["id"], old["from"]]).toEqual(["start", "c1", "busybox"]);
  expect((await request(engine, "GET /events?since=20&until=10")).status).toBe(400);
});

test("a pull that fails at once has a status, one that fails later says so in the stream", async () => {
  const at = (when: "before" | "after") =>
    engineWith({
      images: {
        pull: async (reference, { progress }) => {
          if (when === "after") progress({ status: `Pulling from ${reference}`, id: "latest" });
          await Bun.sleep(1);
          throw new LighterError("not-found", "manifest unknown");
        },
      },
    });
  const early = await request(at("before"), "POST /images/create?fromImage=nope&tag=latest");
  expect([early.status, early.json]).toEqual([404, { message: "manifest unknown" }]);
  const late = await request(at("after"), "POST /images/create?fromImage=busybox&tag=latest");
  expect(late.status).toBe(200);
  expect(
    late.text
      .trim()
      .split("\r\n")
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([
    { status: "Pulling from busybox:latest", id: "latest" },
    { errorDetail: { message: "manifest unknown" }, error: "manifest unknown" },
  ]);
});

test("a pull's name, tag, digest, platform and credentials reach the images' part", async () => {
  const asked: unknown[] = [];
  const engine = engineWith({
    images: {
      pull: (reference, options) => {
        asked.push([reference, without(options, "progress", "signal")]);
        return Promise.resolve();
      },
    },
  });
  const auth = Buffer.from(JSON.stringify({ username: "u", password: "p?>" })).toString("base64url");
  await request(engine, "POST /images/create?fromImage=a/b&tag=1.0&platform=linux/arm64", { headers: { "x-registry-auth": auth } });
  await request(engine, `POST /images/create?fromImage=a&tag=sha256:${"0".repeat(64)}`);
  await request(engine, "POST /images/create?fromImage=localhost:5000/a");
  expect(asked).toEqual([
    ["a/b:1.0", { allTags: false, platform: "linux/arm64", credentials: { username: "u", password: "p?>" } }],
    [`a@sha256:${"0".repeat(64)}`, { allTags: false }],
    ["localhost:5000/a", { allTags: true }],
  ]);
  expect((await request(engine, "POST /images/create?fromImage=UPPER")).status).toBe(400);
  // What is no login is taken for none.
  for (const header of ["e30x", "bnVsbA==", "null", "W10="]) {
    const { status } = await request(engine, "POST /images/create?fromImage=a&tag=1", { headers: { "x-registry-auth": header } });
    expect([status, asked.at(-1)]).toEqual([200, ["a:1", { allTags: false }]]);
  }
});

test("cp: the stat travels in a header, the archive as the body", async () => {
  const stat = { name: "etc", size: 4096, mode: 2147484141, mtime: "2026-01-01T00:00:00Z", linkTarget: "" };
  let unpacked: unknown;
  const engine = engineWith({
    containers: {
      stat: () => Promise.resolve(stat),
      archive: () => Promise.resolve({ stat, tar: new Response("tar bytes").body as ReadableStream<Uint8Array> }),
      extract: async (id, path, tar, options) => {
        unpacked = [id, path, await new Response(tar).text(), without(options, "signal")];
      },
    },
  });
  const header = Buffer.from(JSON.stringify(stat)).toString("base64");
  expect((await request(engine, "HEAD /containers/web/archive?path=/etc")).headers["X-Docker-Container-Path-Stat"]).toBe(header);
  const got = await request(engine, "GET /containers/web/archive?path=/etc");
  expect([got.text, got.headers["Content-Type"]]).toEqual(["tar bytes", "application/x-tar"]);
  await request(engine, "PUT /containers/web/archive?path=/tmp&noOverwriteDirNonDir=true", { body: Buffer.from("in") });
  expect(unpacked).toEqual(["web", "/tmp", "in", { noOverwriteDirNonDir: true, copyUidGid: false }]);
  expect((await request(engine, "GET /containers/web/archive")).status).toBe(400);
});

test("a stream for a client that left is read no further, and its source is told", async () => {
  const controller = new AbortController();
  let pieces = 0;
  const left = Promise.withResolvers<void>();
  const long = new ReadableStream<Uint8Array>({
    pull: (source) => {
      if (++pieces === 3) controller.abort();
      source.enqueue(Buffer.from("x"));
      if (pieces === 100) source.close();
    },
    cancel: () => left.resolve(),
  });
  const engine = engineWith({ containers: { export: () => Promise.resolve(long) } });
  await expect(request(engine, "GET /containers/web/export", { signal: controller.signal })).rejects.toThrow("closed the connection");
  await left.promise;
  expect(pieces).toBeLessThan(6);
});
