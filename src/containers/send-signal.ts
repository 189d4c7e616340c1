import { kindOf } from "../base/errors.ts";
import type { Context } from "./context.ts";
import { tell } from "./context.ts";
import type { Live } from "./live.ts";
import { type ContainerRow, setStatus } from "./rows.ts";

const SIGKILL = 9;

/**
 * Sends a signal to a container's init and tells so. A paused container is thawed for a signal that is to end it.
 * With `mayBeGone`, a process that has ended by itself meanwhile is as good; else that throws `conflict`.
 */
export async function sendSignal(
  context: Context,
  row: ContainerRow,
  live: Live,
  signal: number,
  options: { ends?: boolean; mayBeGone?: boolean } = {},
): Promise<void> {
  try {
    live.task?.kill(signal);
  } catch (error) {
    if (options.mayBeGone && kindOf(error) === "conflict") return;
    throw error;
  }
  const thaw = row.status === "paused" && (signal === SIGKILL || options.ends === true);
  context.needs.state.write(
    (tx) => {
      tell(tx, row, "kill", { signal: String(signal) });
      if (thaw) setStatus(tx, row.id, "running");
    },
    { durable: false },
  );
  if (thaw) await live.task?.resume();
}
