import { LighterError } from "../base/errors.ts";
import { RuntimeRefusal } from "./conmon.ts";

/**
 * What an OCI runtime printed, as one sentence: the `msg` of runc's structured lines, crun's line without time stamp and level.
 * Of several lines the last error counts.
 */
export function sentenceOf(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const errors = lines.filter((line) => /level=(error|fatal)|^\S+ error: |"level":"error"/.test(line));
  const line = errors.at(-1) ?? lines.at(-1) ?? "";
  const structured = /\bmsg=("(?:[^"\\]|\\.)*"|\S+)/.exec(line)?.[1];
  if (structured !== undefined) return structured.startsWith('"') ? (JSON.parse(structured) as string) : structured;
  if (line.startsWith("{")) return jsonMessage(line) ?? line;
  return line
    .replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z?:? ?/, "")
    .replace(/^(?:crun: |error: |\[conmon:e\]: )+/, "")
    .trim();
}

function jsonMessage(line: string): string | undefined {
  try {
    const { msg } = JSON.parse(line) as { msg?: unknown };
    return typeof msg === "string" ? msg : undefined;
  } catch {
    return undefined;
  }
}

/** Docker's form around the runtime's own sentence; what it printed is the `cause`. Other errors pass through. */
export function refused(error: unknown, act: "create" | "exec" | "start"): unknown {
  if (!(error instanceof RuntimeRefusal)) return error;
  const sentence = sentenceOf(error.output) || "the monitor ended without an answer";
  const verb = act === "exec" ? "exec" : act === "start" ? "start" : "create";
  return new LighterError("runtime", `OCI runtime ${verb} failed: ${sentence}: unknown`, { cause: new Error(error.output.trim()) });
}
