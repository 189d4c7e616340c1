import { expect, test } from "bun:test";
import { LighterError } from "../base/errors.ts";
import { STREAM } from "../wire/stdcopy.ts";
import type { Attachment, OutputSink } from "../wire/stream.ts";
import { engineWith, listener, request } from "./api.fixture.ts";

/** An engine in which one exec runs: `start` is its program. `steps` is what was asked of it. */
function engineOf(start: (sink: OutputSink) => Promise<void>, ended: Promise<void> = Promise.resolve()) {
  const steps: string[] = [];
  const attachment: Attachment = {
    write: () => Promise.resolve(),
    closeInput: () => undefined,
    detach: () => void steps.push("detach"),
    ended,
  };
  const engine = engineWith({
    containers: {
      createExec: (container, { Cmd }) => (steps.push(`create ${container} ${Cmd?.join(" ")}`), Promise.resolve("e1")),
      startExec: async (id, { sink, tty }) => {
        steps.push(`start ${id} ${tty}`);
        if (sink) await start(sink);
        return attachment;
      },
      inspectExec: (id) => (steps.push(`inspect ${id}`), { ExitCode: 7 }),
    },
  });
  return { engine, steps };
}

const LINE = "POST /v1.56/lighter/containers/web/exec";
const body = JSON.stringify({ Cmd: ["ls", "-l"], AttachStdout: true });

async function heard(engine: ReturnType<typeof engineOf>["engine"], { stream, said } = listener()): Promise<unknown[]> {
  const { answer, headers } = await request(engine, LINE, { body });
  expect(headers).toEqual({ "Content-Type": "application/vnd.lighter.run-stream" });
  if (!("hijack" in answer)) throw new Error("not hijacked");
  await answer.run(stream);
  return said;
}

test("one request creates, starts and tells the output and the exit code", async () => {
  const { engine, steps } = engineOf(async (sink) => void sink.write(STREAM.stderr, Buffer.from("hello")));
  expect(await heard(engine)).toEqual(["2:hello", { ended: { StatusCode: 7 } }]);
  expect(steps).toEqual(["create web ls -l", "start e1 false", "detach", "inspect e1"]);
});

test("a program that cannot be run is told in the output and by its exit code, what else keeps it from starting by a status", async () => {
  const missing = engineOf(() => Promise.reject(new LighterError("runtime", "no such program")));
  expect(await heard(missing.engine)).toEqual(["1:no such program\r\n", { ended: { StatusCode: 7 } }]);
  const paused = engineOf(() => Promise.reject(new LighterError("conflict", "Container web is paused")));
  expect(await heard(paused.engine)).toEqual([{ failed: { status: 409, message: "Container web is paused" } }]);
});

test("a client that leaves is told nothing more, and the exec goes on", async () => {
  const leaving = listener();
  const { engine, steps } = engineOf(async () => leaving.leave(), new Promise(() => {}));
  expect(await heard(engine, leaving)).toEqual([]);
  expect(steps.slice(1)).toEqual(["start e1 false", "detach"]);
});

test("older clients and refused creates get an answer, and nothing starts for a client that has left", async () => {
  const { engine, steps } = engineOf(() => Promise.resolve());
  expect((await request(engine, LINE.replace("1.56", "1.55"), { body })).status).toBe(400);
  expect((await request(engine, LINE, { body: "{}" })).status).toBe(400);
  await request(engine, LINE, { body, signal: AbortSignal.abort() });
  expect(steps).toEqual(["create web ls -l"]);
});
