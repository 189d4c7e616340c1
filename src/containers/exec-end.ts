import { now } from "../base/clock.ts";
import { logOf } from "../base/log.ts";
import type { ExecTask, Exit } from "../runtime/runtime.ts";
import { type Context, tell } from "./context.ts";
import { execRow, setExecExited } from "./exec-rows.ts";
import type { Live } from "./live.ts";
import type { Tx } from "../state/state.ts";
import { type ContainerRow, rowById } from "./rows.ts";

const log = logOf("containers");
const SIGKILL = 9;

/** How and when an exec ended. */
export type ExecExit = Pick<Exit, "code" | "time">;

/**
 * Waits for an exec's end; the promise resolves once its row and its event tell so.
 * @param record stores it and tells of it instead
 */
export function watchExec(context: Context, live: Live, id: string, task: ExecTask, record?: (exit: ExecExit) => void): Promise<void> {
  live.execs.set(id, task);
  return task.exited.then((exit) => {
    if (live.execs.get(id) !== task || context.closing) return;
    live.execs.delete(id);
    if (record === undefined) recordExecExit(context, id, exit);
    else record(exit);
    task.delete().catch((error: unknown) => log.warn("after the end of exec {id}: {error}", { id, error }));
  });
}

/** Stores that an exec could not be made: Docker has no event for that. */
export function recordExecFailure(context: Context, id: string, code: number): void {
  context.finishedExecs.set(id, now());
  context.needs.state.write((tx) => setExecExited(tx, id, code), { durable: false });
}

/** The event of an exec's end. */
export function tellExecExit(tx: Tx, row: ContainerRow, id: string, exit: ExecExit): void {
  tell(tx, row, "exec_die", { execID: id, exitCode: String(exit.code) }, exit.time);
}

/** Stores how an exec ended, with its event. A container that is gone has taken its execs along. */
export function recordExecExit(context: Context, id: string, exit: ExecExit): void {
  const exec = execRow(context.needs.state, id);
  const row = exec && rowById(context.needs.state, exec.container);
  if (exec?.status !== "running" || row === undefined) return;
  context.finishedExecs.set(id, now());
  context.needs.state.write(
    (tx) => {
      setExecExited(tx, id, exit.code);
      tellExecExit(tx, row, id, exit);
    },
    { durable: false },
  );
}

/** The container has ended: what still runs in it is killed, and told of as soon as it is gone. */
export function endExecs(_context: Context, live: Live): void {
  for (const task of live.execs.values()) {
    try {
      task.kill(SIGKILL);
    } catch (error) {
      log.debug("exec {id} is gone already: {error}", { id: task.record.id, error });
    }
  }
}
