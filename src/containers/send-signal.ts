import type { Context } from "./context.ts";
import { tell } from "./context.ts";
import type { Live } from "./live.ts";
import { type ContainerRow, setStatus } from "./rows.ts";

const SIGKILL = 9;

/** Sends a signal to a container's init and tells so. A paused container is thawed for a signal that is to end it. */
export async function sendSignal(
  context: Context,
  row: ContainerRow,
  live: Live,
  signal: number,
  options: { ends?: boolean } = {},
): Promise<void> {
  live.task?.kill(signal);
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
