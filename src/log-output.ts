import { configure, getJsonLinesFormatter, getLogfmtFormatter, getStreamSink, isLogLevel, type LogLevel } from "@logtape/logtape";
import { LighterError } from "./base/errors.ts";

/** A level by its name, docker's words included. Throws `invalid`. */
export function parseLevel(text: string): LogLevel {
  const level = text.replace(/^warn$/, "warning");
  if (!isLogLevel(level)) throw new LighterError("invalid", `Cannot log at level "${text}": expected debug, info, warn, error or fatal`);
  return level;
}

/** How a line of the log looks: logfmt, or a JSON object. */
export type LogFormat = "text" | "json";

/** A format by docker's name. Throws `invalid`. */
export function parseFormat(text: string): LogFormat {
  if (text === "text" || text === "json") return text;
  throw new LighterError("invalid", `Cannot log in format "${text}": expected text or json`);
}

/** Sends the log of this process to standard error, a line each; again to change the level. */
export async function openLog({ level, format = "text" }: { level: LogLevel; format?: LogFormat }): Promise<void> {
  const formatter = format === "json" ? getJsonLinesFormatter() : getLogfmtFormatter();
  await configure({
    reset: true,
    sinks: { stderr: getStreamSink(stderrStream(), { formatter }) },
    loggers: [
      { category: ["lighter"], lowestLevel: level, sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stderr"] },
    ],
  });
}

function stderrStream(): WritableStream<Uint8Array> {
  return new WritableStream({ write: (chunk) => void process.stderr.write(chunk) });
}
