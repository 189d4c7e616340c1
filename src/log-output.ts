import { configure, getLogfmtFormatter, getStreamSink, isLogLevel, type LogLevel } from "@logtape/logtape";
import { LighterError } from "./base/errors.ts";

/** A level by its name, docker's words included. Throws `invalid`. */
export function parseLevel(text: string): LogLevel {
  const level = text.replace(/^warn$/, "warning");
  if (!isLogLevel(level)) throw new LighterError("invalid", `Cannot log at level "${text}": expected debug, info, warn, error or fatal`);
  return level;
}

/** Sends the log of this process to standard error, a line (logfmt) each; again to change the level. */
export async function openLog(level: LogLevel): Promise<void> {
  await configure({
    reset: true,
    sinks: { stderr: getStreamSink(stderrStream(), { formatter: getLogfmtFormatter() }) },
    loggers: [
      { category: ["lighter"], lowestLevel: level, sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stderr"] },
    ],
  });
}

function stderrStream(): WritableStream<Uint8Array> {
  return new WritableStream({ write: (chunk) => void process.stderr.write(chunk) });
}
