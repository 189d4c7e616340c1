import { toRfc3339Nano, type Nanoseconds } from "../base/clock.ts";
import { LighterError, messageOf } from "../base/errors.ts";
import type { LogEntry, LogOptions } from "../containers/containers.ts";
import type { AnswerStream } from "../transport/exchange.ts";
import { encodeFrame, STREAM } from "../wire/stdcopy.ts";
import { param, type Answer, type Call } from "./call.ts";
import { ClientSink, streamType } from "./output-sink.ts";

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
  const options: LogOptions = {
    stdout,
    stderr,
    follow: query.flag("follow"),
    signal,
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
    ...(tail !== undefined && { tail }),
  };
  const terminal = call.engine.containers.terminal(id);
  const prefix = prefixer({ timestamps: query.flag("timestamps"), details: query.flag("details") });
  return {
    status: 200,
    headers: { "Content-Type": streamType(call.version, terminal) },
    stream: (out) => write(out, call.engine.containers.logs(id, options), { terminal, prefix, signal }),
  };
}

async function write(
  out: AnswerStream,
  entries: AsyncIterable<LogEntry>,
  { terminal, prefix, signal }: { terminal: boolean; prefix: (entry: LogEntry) => Uint8Array; signal: AbortSignal },
): Promise<void> {
  const sink = new ClientSink({ framed: !terminal });
  sink.bind(out);
  try {
    for await (const entry of entries) {
      if (!sink.write(entry.stream, prefix(entry))) await sink.drained();
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

/** Puts the time (and the place of the details, which no driver of ours has) before each line, not before its later parts. */
function prefixer(options: { timestamps: boolean; details: boolean }): (entry: LogEntry) => Uint8Array {
  if (!options.timestamps && !options.details) return ({ data }) => data;
  return ({ time, data, continues }) => {
    if (continues) return data;
    return Buffer.concat([Buffer.from(`${options.timestamps ? `${fixedTime(time)} ` : ""}${options.details ? " " : ""}`), data]);
  };
}

/** RFC 3339 in UTC with all nine digits: `docker logs -t` sorts by this text. */
export function fixedTime(time: Nanoseconds): string {
  const [seconds = "", fraction = ""] = toRfc3339Nano(time).slice(0, -1).split(".");
  return `${seconds}.${fraction.padEnd(9, "0")}Z`;
}
