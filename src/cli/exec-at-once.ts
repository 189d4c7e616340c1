import { LighterError } from "../base/errors.ts";
import { openExec, type ExecBody } from "../client/execs.ts";
import { followRun } from "../client/run.ts";
import type { App } from "./app.ts";
import { print } from "./output.ts";
import { PacedOutput, runsOf } from "./paced-output.ts";

/** Output below this many bytes at once is written without `node:fs` and its threads, which take 1.5 ms when they are first used. */
const SMALL = 4096;

/**
 * Runs a command in a container by one request to our daemon and shows its output. Resolves with its exit code, or with undefined when the daemon refused it before
 * anything was made (see `openExec`). Throws what a start would have answered.
 */
export async function execAtOnce(app: App, container: string, body: ExecBody): Promise<number | undefined> {
  const stream = await openExec(await app.connection(), container, body);
  if (stream === undefined) return undefined;
  const paced = new PacedOutput();
  const end = await followRun(stream, {
    created: () => {},
    output: async (pieces) => {
      // A reader that is slow may hold this program up: no signal is passed on, and the system obeys those that come.
      if (pieces.reduce((size, { bytes }) => size + bytes.length, 0) > SMALL) return paced.take(runsOf(pieces));
      for (const { to, bytes } of pieces) print(to === "stderr" ? 2 : 1, bytes);
    },
  });
  if ("untaken" in end) throw end.untaken;
  if ("failure" in end) throw end.failure;
  if (end.ended.Error?.Message) throw new LighterError("unavailable", `error during connect: ${end.ended.Error.Message}`);
  return end.ended.StatusCode;
}
