import { toRfc3339Nano, type Nanoseconds } from "../base/clock.ts";
import { LighterError, messageOf } from "../base/errors.ts";
import type { LogEntry, LogOptions } from "../containers/containers.ts";
import type { AnswerStream } from "../transport/exchange.ts";
import { STREAM } from "../wire/stdcopy.ts";
import { param, type Answer, type Call } from "./call.ts";
import { LineBatch } from "./line-batch.ts";
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
  { terminal, prefix, signal }: { terminal: boolean; prefix: (entry: LogEntry) => string; signal: AbortSignal },
): Promise<void> {
  const batch = new LineBatch(out, { framed: !terminal });
  try {
    for await (const entry of entries) {
      if (!batch.add(entry.stream, prefix(entry), entry.data)) await batch.drained();
      if (signal.aborted) return;
    }
  } catch (error) {
    if (!signal.aborted) batch.add(STREAM.stderr, "", Buffer.from(`Error grabbing logs: ${messageOf(error)}\n`));
  }
  batch.flush();
}

function tailOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The time (and the place of the details, which no driver of ours has) before each line, nothing before its later parts. */
function prefixer(options: { timestamps: boolean; details: boolean }): (entry: LogEntry) => string {
  if (!options.timestamps && !options.details) return () => "";
  return ({ time, continues }) => (continues ? "" : `${options.timestamps ? `${fixedTime(time)} ` : ""}${options.details ? " " : ""}`);
}

/** RFC 3339 in UTC with all nine digits: `docker logs -t` sorts by this text. */
export function fixedTime(time: Nanoseconds): string {
  const [seconds = "", fraction = ""] = toRfc3339Nano(time).slice(0, -1).split(".");
  return `${seconds}.${fraction.padEnd(9, "0")}Z`;
}
