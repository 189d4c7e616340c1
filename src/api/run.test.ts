import { expect, test } from "bun:test";
import { LighterError } from "../base/errors.ts";
import { STREAM } from "../wire/stdcopy.ts";
import type { OutputSink } from "../wire/stream.ts";
import { engineWith, listener, request } from "./api.fixture.ts";

/** An engine in which one container runs; `steps` is what was asked of it. */
function engineOf(start: (sink: OutputSink) => Promise<void>, result: Promise<{ statusCode: number }>) {
  const steps: string[] = [];
  let sink: OutputSink | undefined;
  const ended = Promise.withResolvers<void>();
  const engine = engineWith({
    containers: {
      create: (name) => (steps.push(`create ${name}`), Promise.resolve({ id: "c1", warnings: [] })),
      attach: (id, given) => {
        sink = given;
        steps.push(`attach ${id}`);
        return Promise.resolve({
          write: () => Promise.resolve(),
          closeInput: () => undefined,
          detach: () => void steps.push("detach"),
          ended: ended.promise,
        });
      },
      wait: (_id, condition) => (steps.push(`wait ${condition}`), { result, cancel: () => void steps.push("cancel") }),
      start: async (id) => {
        steps.push(`start ${id}`);
        if (sink) await start(sink);
      },
    },
  });
  return { engine, steps, end: ended.resolve };
}

const LINE = "POST /v1.56/lighter/run?name=web&stdout=1&removed=1";
const body = JSON.stringify({ Image: "busybox" });

test("one request creates, attaches, waits and starts, and tells the output and the end", async () => {
  const { engine, steps, end } = engineOf(
    async (sink) => {
      sink.write(STREAM.stdout, Buffer.from("hello"));
      end();
    },
    Promise.resolve({ statusCode: 7 }),
  );
  const { answer, headers } = await request(engine, LINE, { body });
  expect(headers).toEqual({ "Content-Type": "application/vnd.lighter.run-stream" });
  if (!("hijack" in answer)) throw new Error("not hijacked");
  const { stream, said } = listener();
  await answer.run(stream);
  expect(said).toEqual([{ created: { Id: "c1", Warnings: [] } }, "1:hello", { ended: { StatusCode: 7 } }]);
  expect(steps).toEqual(["create web", "attach c1", "wait removed", "start c1", "cancel", "detach"]);
});

test("a start that fails is told with its status; a client that leaves is waited for no more", async () => {
  const never = new Promise<{ statusCode: number }>(() => {});
  const failing = engineOf(() => Promise.reject(new LighterError("conflict", "in use")), never);
  const first = (await request(failing.engine, LINE, { body })).answer;
  const { stream, said } = listener();
  if ("hijack" in first) await first.run(stream);
  expect(said).toEqual([{ created: { Id: "c1", Warnings: [] } }, { failed: { status: 409, message: "in use" } }]);

  const leaving = listener();
  const running = engineOf(async () => leaving.leave(), never);
  const second = (await request(running.engine, LINE, { body })).answer;
  if ("hijack" in second) await second.run(leaving.stream);
  expect(leaving.said).toEqual([{ created: { Id: "c1", Warnings: [] } }]);
  expect(running.steps.slice(-2)).toEqual(["cancel", "detach"]);
});

test("older clients and refused creates get an answer, and nothing is made", async () => {
  const { engine, steps } = engineOf(() => Promise.resolve(), Promise.resolve({ statusCode: 0 }));
  expect((await request(engine, LINE.replace("1.56", "1.55"), { body })).status).toBe(400);
  expect((await request(engine, LINE, { body: "{}" })).status).toBe(400);
  expect(steps).toEqual([]);
});

test("nothing is started for a client that left while its container was made", async () => {
  const { engine, steps } = engineOf(() => Promise.resolve(), Promise.resolve({ statusCode: 0 }));
  await request(engine, LINE, { body, signal: AbortSignal.abort() });
  expect(steps).toEqual(["create web"]);
});

test("what fails once the container is made is told in the stream: an answer by status would have it made twice", async () => {
  const engine = engineWith({
    containers: {
      create: () => Promise.resolve({ id: "c1", warnings: [] }),
      attach: () => Promise.reject(new LighterError("not-found", "No such container: c1")),
    },
  });
  const { answer } = await request(engine, LINE, { body });
  if (!("hijack" in answer)) throw new Error("not hijacked");
  const { stream, said } = listener();
  await answer.run(stream);
  expect(said).toEqual([{ created: { Id: "c1", Warnings: [] } }, { failed: { status: 404, message: "No such container: c1" } }]);
});
