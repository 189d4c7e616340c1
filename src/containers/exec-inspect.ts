import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import type { ExecInspectResponse } from "../wire/engine-api.ts";
import type { TerminalSize } from "../wire/stream.ts";
import { type Context, liveOf } from "./context.ts";
import { findExec, isStarting } from "./exec-start.ts";

/** Docker waits as long for an exec that is being started. */
const PATIENCE_MILLISECONDS = 10_000;
/** An exec that is this old and not started yet may never be. */
const FRESH_NANOSECONDS = 1_000_000_000n;
const POLL_MILLISECONDS = 20;

/** See `Containers.inspectExec`. */
export function inspectExec(context: Context, id: string): ExecInspectResponse {
  const exec = findExec(context, id);
  const { body } = exec;
  const [entrypoint = "", ...args] = body.Cmd ?? [];
  return {
    ID: exec.id,
    Running: exec.status === "running",
    ExitCode: (exec.exitCode ?? null) as number,
    ProcessConfig: {
      tty: body.Tty ?? false,
      entrypoint,
      arguments: args,
      privileged: body.Privileged ?? false,
      ...(body.User ? { user: body.User } : {}),
    },
    OpenStdin: body.AttachStdin ?? false,
    OpenStderr: body.AttachStderr ?? false,
    OpenStdout: body.AttachStdout ?? false,
    CanRemove: exec.status === "exited",
    ContainerID: exec.container,
    DetachKeys: body.DetachKeys ?? "",
    Pid: exec.task?.process.pid ?? 0,
  };
}

/**
 * Changes the size of a running exec's terminal. Docker's clients ask for it beside the start and give up soon: one that is just being started, or was made
 * a moment ago, is waited for.
 */
export async function resizeExec(context: Context, id: string, size: TerminalSize): Promise<void> {
  for (const begun = performance.now(); ; await Bun.sleep(POLL_MILLISECONDS)) {
    const exec = findExec(context, id);
    const task = liveOf(context, exec.container).execs.get(exec.id);
    if (task !== undefined) return task.resize(size);
    const comes = isStarting(exec.id) || (exec.status === "created" && now() - exec.created < FRESH_NANOSECONDS);
    if (!comes || context.closing) throw new LighterError("conflict", `exec ${exec.id} is not running`);
    if (performance.now() - begun > PATIENCE_MILLISECONDS) throw new LighterError("internal", "timeout waiting for exec session ready");
  }
}
