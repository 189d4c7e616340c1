import { now, toRfc3339Nano } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { goDuration } from "../base/go-duration.ts";
import { endTree } from "../linux/process-tree.ts";
import type { Attachment } from "../wire/stream.ts";
import { type Context, tell } from "./context.ts";
import { commandText } from "./exec-create.ts";
import type { ExecExit } from "./exec-end.ts";
import { insertExec } from "./exec-rows.ts";
import { startExec, tellExecStart } from "./exec-start.ts";
import { HealthOutput } from "./health-output.ts";
import type { Probe } from "./health-probe.ts";
import type { ProbeResult } from "./health-result.ts";
import { setChecking } from "./health-rows.ts";
import type { Live } from "./live.ts";
import type { ContainerRow } from "./rows.ts";

/** Milliseconds that a killed check is waited for. */
const KILL_PATIENCE = 10_000;

/** A check that is over: how it went, and the exec that it was. */
export interface CheckOutcome {
  exec: string;
  result: ProbeResult;
  /** How the exec ended, which is still to be told. */
  exit: ExecExit | undefined;
}

/**
 * Runs a container's check once: an exec as users make them, with the container's user, environment and directory. Never throws: what keeps it from
 * running is a result, too. One that takes too long, or is called off by `signal`, is killed with all that it started.
 * @param options.begun is called once the process exists, or cannot be made
 */
export async function runCheck(
  context: Context,
  row: ContainerRow,
  live: Live,
  probe: Probe,
  options: { signal: AbortSignal; begun: () => void },
): Promise<CheckOutcome> {
  const exec = newId();
  const begin = now();
  let exit: ExecExit | undefined;
  const recordExit = (how: ExecExit): void => void (exit = how);
  const outcome = (ExitCode: number, Output: string): CheckOutcome => ({
    exec,
    exit,
    result: { Start: toRfc3339Nano(begin), End: toRfc3339Nano(now()), ExitCode, Output },
  });
  const output = new HealthOutput();
  let attachment: Attachment | undefined;
  try {
    createCheck(context, row, exec, probe);
    attachment = await startExec(context, exec, { sink: output, tty: false, told: true, recordExit });
  } catch (error) {
    return outcome(-1, messageOf(error));
  } finally {
    options.begun();
  }
  const ended = attachment?.ended ?? Promise.resolve();
  if (await endsInTime(ended, probe.timeout / 1e6, options.signal)) return outcome(codeOf(exit), output.text);
  // A shell whose command is killed has something to say about that.
  const said = output.text === "" ? "" : `: ${output.text}`;
  await killCheck(live, exec);
  await endsInTime(ended, KILL_PATIENCE);
  return outcome(-1, `Health check exceeded timeout (${goDuration(probe.timeout)})${said}`);
}

function codeOf(exit: ExecExit | undefined): number {
  return exit?.code ?? -1;
}

/** The exec of a check, from its making to its start in one transaction. */
function createCheck(context: Context, row: ContainerRow, id: string, probe: Probe): void {
  const body = { Cmd: probe.command, AttachStdout: true, AttachStderr: true };
  context.needs.state.write(
    (tx) => {
      insertExec(tx, { id, container: row.id, created: now(), body });
      setChecking(tx, row.id, id);
      tell(tx, row, `exec_create: ${commandText(probe.command)}`, { execID: id });
      tellExecStart(tx, row, id, probe.command);
    },
    { durable: false },
  );
}

/** Kills a check with everything that came of it. */
export async function killCheck(live: Live, exec: string): Promise<void> {
  const pid = live.execs.get(exec)?.record.process.pid;
  if (pid !== undefined) await endTree(pid, () => live.task?.pids() ?? []);
}

/** Whether something ends before the time (in milliseconds) is over or the signal comes. */
async function endsInTime(ended: Promise<void>, time: number, signal?: AbortSignal): Promise<boolean> {
  if (signal?.aborted) return false;
  const { promise, resolve } = Promise.withResolvers<false>();
  const stop = (): void => resolve(false);
  const timer = setTimeout(stop, Math.min(time, 2 ** 31 - 1));
  signal?.addEventListener("abort", stop);
  try {
    return await Promise.race([ended.then(() => true as const), promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}
