import { LighterError } from "../base/errors.ts";
import type { ExecInspectResponse } from "../wire/engine-api.ts";
import type { TerminalSize } from "../wire/stream.ts";
import { type Context, liveOf } from "./context.ts";
import { findExec } from "./exec-start.ts";

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

/** Changes the size of a running exec's terminal. */
export function resizeExec(context: Context, id: string, size: TerminalSize): void {
  const exec = findExec(context, id);
  const task = liveOf(context, exec.container).execs.get(exec.id);
  if (task === undefined) throw new LighterError("conflict", `exec ${exec.id} is not running`);
  task.resize(size);
}
