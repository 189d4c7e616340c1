import { LighterError, messageOf } from "../base/errors.ts";
import type { LogOptions } from "../containers/containers.ts";
import type { AnswerStream } from "../transport/exchange.ts";
import { encodeFrame, STREAM } from "../wire/stdcopy.ts";
import { done, param, type Answer, type Call } from "./call.ts";
import { streamType } from "./output-sink.ts";

/** The stored output, and with `follow` what comes after it. */
export function logs(call: Call): Answer {
  const id = param(call, "id");
  const { query, signal } = call;
  const stdout = query.flag("stdout");
  const stderr = query.flag("stderr");
  if (!stdout && !stderr) throw new LighterError("invalid", "Bad parameters: you must choose at least one stream");
  const since = query.time("since");
  const until = query.time("until");
  const tail = tailOf(query.text("tail"));
  const options: LogOptions & { timestamps: boolean; details: boolean } = {
    stdout,
    stderr,
    follow: query.flag("follow"),
    timestamps: query.flag("timestamps"),
    details: query.flag("details"),
    signal,
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
    ...(tail !== undefined && { tail }),
  };
  const terminal = call.engine.containers.terminal(id);
  const frames = call.engine.containers.logFrames(id, options);
  return {
    status: 200,
    headers: { "Content-Type": streamType(call.version, terminal) },
    stream: (out) => write(out, frames, { terminal, signal }),
  };
}

/** Throws away what a container has written so far. An endpoint of our own: Docker has none. */
export async function clearLogs(call: Call): Promise<Answer> {
  await call.engine.containers.clearLogs(param(call, "id"));
  return done();
}

async function write(
  out: AnswerStream,
  frames: AsyncIterable<Uint8Array>,
  { terminal, signal }: { terminal: boolean; signal: AbortSignal },
): Promise<void> {
  try {
    for await (const bytes of frames) {
      if (!out.write(bytes)) await out.drained();
      if (signal.aborted) return;
    }
  } catch (error) {
    if (signal.aborted) return;
    const text = Buffer.from(`Error grabbing logs: ${messageOf(error)}\n`);
    out.write(terminal ? text : encodeFrame(STREAM.stderr, text));
  }
}

function tailOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
