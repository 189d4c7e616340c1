import { LighterError, messageOf } from "../base/errors.ts";
import { hostname as machineName } from "node:os";
import type { ExecSpec } from "../runtime/runtime.ts";
import type { Tx } from "../state/state.ts";
import type { Attachment, OutputSink, TerminalSize } from "../wire/stream.ts";
import { type Context, current, liveOf, tell } from "./context.ts";
import { tellingDetach } from "./detach.ts";
import { commandText, requireActive } from "./exec-create.ts";
import { type ExecExit, recordExecFailure, watchExec } from "./exec-end.ts";
import { type ExecRow, execRow, setExecRunning } from "./exec-rows.ts";
import { execEnvironment } from "./environment.ts";
import { userFiles } from "./image-files.ts";
import { resolveUser } from "./passwd.ts";
import { pathsOf } from "./paths.ts";
import { layersOf } from "./prepare.ts";
import type { ContainerRow } from "./rows.ts";
import { credentialsOf } from "./spec.ts";
import { EXEC_FAILED, startError, startExitCode } from "./start-error.ts";
import { traceOf } from "./trace.ts";
import { rootOf } from "../linux/user-namespace.ts";

/** The exec of an id. Throws `not-found` with Docker's text. */
export function findExec(context: Context, id: string): ExecRow {
  const row = execRow(context.needs.state, id);
  if (row === undefined) throw new LighterError("not-found", `No such exec instance: ${id}`);
  return row;
}

/** How an exec is started. */
export interface ExecStart {
  sink?: OutputSink;
  tty: boolean;
  size?: TerminalSize;
  begun?: () => void;
  /** The event of the start has been told. */
  told?: boolean;
  /** Stores the end and tells of it, in place of the exec's row. */
  recordExit?: (exit: ExecExit) => void;
}

/** See `Containers.startExec`. */
export async function startExec(context: Context, id: string, options: ExecStart): Promise<Attachment | undefined> {
  const exec = findExec(context, id);
  if (exec.status === "running" || starting.has(exec.id)) throw new LighterError("conflict", `exec ${exec.id} is already running`);
  if (exec.status === "exited") throw new LighterError("conflict", `exec ${exec.id} has already run`);
  const row = current(context, exec.container);
  requireActive(row);
  const live = liveOf(context, row.id);
  const task = live.task;
  if (task === undefined) throw new LighterError("conflict", `container ${row.id} is not running`);
  const trace = traceOf("exec", row.id);
  const command = exec.body.Cmd ?? [];
  starting.add(exec.id);
  options.begun?.();
  try {
    await live.thawed;
    if (!options.told) context.needs.state.write((tx) => tellExecStart(tx, row, exec.id, command), { durable: false });
    const spec = execSpecOf(context, row, exec, options);
    if (!spec.process.cwd.startsWith("/")) throw new LighterError("runtime", `${EXEC_FAILED}: Cwd must be an absolute path: unknown`);
    const running = await trace.span("runtime", () => task.exec(spec));
    context.needs.state.write((tx) => setExecRunning(tx, exec.id, running.record), { durable: false });
    const told = watchExec(context, live, exec.id, running, options.recordExit);
    trace.end();
    if (options.sink === undefined) return undefined;
    const streams = {
      stdin: exec.body.AttachStdin ?? false,
      stdout: exec.body.AttachStdout ?? false,
      stderr: exec.body.AttachStderr ?? false,
    };
    const joined = endingAfter(running.attach(lateEnd(options.sink, told), streams), told);
    return tellingDetach(context, joined, { container: row.id, action: "exec_detach", attributes: { execID: exec.id } });
  } catch (error) {
    // The container ended in between, and took the exec's files along.
    const gone = live.task !== task && !(error instanceof LighterError);
    const failure = gone
      ? new LighterError("conflict", `container ${row.id} is not running`, { cause: error })
      : asRefusal(startError(error, command[0] ?? "", "exec"));
    recordExecFailure(context, exec.id, execFailureCode(messageOf(failure)));
    throw failure;
  } finally {
    starting.delete(exec.id);
  }
}

/** The event of an exec's start. */
export function tellExecStart(tx: Tx, row: ContainerRow, id: string, command: readonly string[]): void {
  tell(tx, row, `exec_start: ${commandText(command)}`, { execID: id });
}

const starting = new Set<string>();

/** Whether the process of an exec is just being made. */
export function isStarting(id: string): boolean {
  return starting.has(id);
}

/** Clients expect what is wrong with the process itself (its user, say) in the stream, as Docker tells it: it is a refusal like the runtime's own. */
function asRefusal(error: unknown): unknown {
  return error instanceof LighterError && error.kind === "invalid" ? new LighterError("runtime", error.message, { cause: error }) : error;
}

/** 127 for a missing program, 126 for everything else that keeps an exec from running. */
function execFailureCode(message: string): number {
  return startExitCode(message) === 127 && !message.includes("chdir to cwd") ? 127 : 126;
}

/** A client that sees the end of the stream asks for the exit code at once: the end is held back until the row knows it. */
function lateEnd(sink: OutputSink, told: Promise<void>): OutputSink {
  return {
    write: (stream, data) => sink.write(stream, data),
    drained: () => sink.drained(),
    lend: (reclaim) => sink.lend?.(reclaim),
    rest: (bytes) => sink.rest?.(bytes) ?? true,
    end: () => void told.then(() => sink.end()),
  };
}

function endingAfter(attachment: Attachment, told: Promise<void>): Attachment {
  return {
    write: (data) => attachment.write(data),
    closeInput: () => attachment.closeInput(),
    detach: () => attachment.detach(),
    ended: attachment.ended.then(() => told),
  };
}

function execSpecOf(context: Context, row: ContainerRow, exec: ExecRow, options: { tty: boolean; size?: TerminalSize }): ExecSpec {
  const { body } = exec;
  const { config, hostConfig } = row.desired;
  const paths = pathsOf(context.needs.options, row.id);
  const terminal = body.Tty ?? options.tty;
  const files = userFiles(layersOf(context, row), paths.upper);
  // Without a user of its own an exec runs as the container's, groups included.
  const user = body.User ? resolveUser(body.User, files) : resolveUser(config.User ?? "", files, hostConfig.GroupAdd ?? []);
  const host = { ...row.desired, hostConfig: body.Privileged ? { ...hostConfig, Privileged: true } : hostConfig };
  const hostname = config.Hostname || machineName();
  const [height = 0, width = 0] = body.ConsoleSize ?? [];
  const size = options.size ?? (height > 0 && width > 0 ? { height, width } : undefined);
  return {
    id: exec.id,
    containerId: row.id,
    directory: `${paths.run}/exec/${exec.id}`,
    process: {
      terminal,
      args: body.Cmd ?? [],
      env: execEnvironment(config, hostname, user.home, body.Env ?? [], terminal),
      cwd: body.WorkingDir || config.WorkingDir || "/",
      ...credentialsOf(host, user, context.needs.options.defaults),
    },
    terminal,
    stdin: body.AttachStdin ?? false,
    ...(terminal && size !== undefined ? { size } : {}),
    ...(row.desired.users && { owner: rootOf(row.desired.users) }),
  };
}
