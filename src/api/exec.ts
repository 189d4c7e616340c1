import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { ExecCreateBody } from "../containers/containers.ts";
import { encodeFrame, STREAM } from "../wire/stdcopy.ts";
import type { TerminalSize } from "../wire/stream.ts";
import { detachKeys, join } from "./attach.ts";
import { done, json, param, type Answer, type Call } from "./call.ts";
import { execBody, execStartBody } from "./create-body.ts";
import { headTaken } from "./head-taken.ts";
import { ClientSink, streamType } from "./output-sink.ts";
import { readJson } from "./read-json.ts";
import { terminalSize } from "./resize.ts";

/** Makes an exec; it runs once it is started. */
export async function createExec(call: Call): Promise<Answer> {
  return json({ Id: await makeExec(call, param(call, "id")) }, 201);
}

/** Makes the exec that a request's body describes in a container. Returns its id. */
export async function makeExec(call: Call, container: string): Promise<string> {
  const body = await readJson<ExecCreateBody>(call, execBody);
  if (body?.Cmd === undefined || body.Cmd.length === 0) throw new LighterError("invalid", "No exec command specified");
  if (body.DetachKeys) detachKeys(body.DetachKeys, "escape");
  return call.engine.containers.createExec(container, body);
}

interface StartBody {
  Detach?: boolean;
  Tty?: boolean;
  ConsoleSize?: number[];
}

/**
 * Starts an exec, on the connection itself or detached. A program that cannot be run is told in the stream (docker's client prints it and asks for the
 * exit code), everything that is wrong before that as a status.
 */
export async function startExec(call: Call): Promise<Answer> {
  const id = param(call, "id");
  const body = (await readJson<StartBody>(call, execStartBody)) ?? {};
  const { containers } = call.engine;
  const size = consoleSize(body.ConsoleSize);
  if (body.Detach) {
    await containers.startExec(id, { tty: body.Tty ?? false, ...(size && { size }) });
    return done(200);
  }
  const inspected = containers.inspectExec(id) as { OpenStdin?: boolean; DetachKeys?: string };
  const terminal = containers.execTerminal(id);
  const keys = terminal ? detachKeys(inspected.DetachKeys) : undefined;
  const sink = new ClientSink({ framed: !terminal });
  const begun = Promise.withResolvers<void>();
  const started = containers.startExec(id, { sink, tty: terminal, begun: begun.resolve, ...(size && { size }) });
  const outcome = started.then(
    (attachment) => ({ attachment, error: undefined }),
    (error: unknown) => ({ attachment: undefined, error }),
  );
  const early = await Promise.race([begun.promise, outcome]);
  if (early?.error !== undefined && kindOf(early.error) !== "runtime") throw early.error;
  return {
    hijack: { "Content-Type": streamType(call.version, terminal) },
    run: async (stream) => {
      await headTaken(stream);
      const { attachment, error } = await outcome;
      if (attachment !== undefined) return join(stream, { sink, attachment, stdin: inspected.OpenStdin ?? false, ...(keys && { keys }) });
      const text = Buffer.from(`${error === undefined ? `Cannot join exec ${id}: it gave no streams` : messageOf(error)}\r\n`);
      stream.write(terminal ? text : encodeFrame(STREAM.stdout, text));
    },
  };
}

function consoleSize(size: number[] | undefined): TerminalSize | undefined {
  const [height = 0, width = 0] = size ?? [];
  return height > 0 && width > 0 ? { height, width } : undefined;
}

/** Sets the size of an exec's terminal. */
export async function resizeExec(call: Call): Promise<Answer> {
  await call.engine.containers.resizeExec(param(call, "id"), terminalSize(call));
  return done(200);
}

/** Everything about one exec; clients ask here for its exit code. */
export function inspectExec(call: Call): Answer {
  return json(call.engine.containers.inspectExec(param(call, "id")));
}
