import { LighterError } from "../base/errors.ts";
import { change, type Context, isRunning } from "./context.ts";
import { setStatus, setStoppedByUser } from "./rows.ts";
import { sendSignal } from "./send-signal.ts";
import { signalNumber } from "./signals.ts";

const SIGKILL = 9;
/** Milliseconds that a kill waits for the end of the process. */
const PATIENCE = 10_000;

/** Sends a signal to a container's first process. SIGKILL and the container's stop signal count as the user's wish that it stays down. */
export async function killContainer(context: Context, reference: string, signal: string): Promise<void> {
  const number = signalNumber(signal === "" ? "SIGKILL" : signal);
  const ended = await change(context, reference, async (row, live) => {
    const stops = number === SIGKILL || number === signalNumber(row.desired.config.StopSignal || "SIGTERM");
    if (row.status === "restarting" && stops) {
      live.cancelRestart?.();
      context.needs.state.write(
        (tx) => {
          setStoppedByUser(tx, row.id, true);
          setStatus(tx, row.id, "exited");
        },
        { durable: false },
      );
      return undefined;
    }
    if (!isRunning(row) || live.task === undefined)
      throw new LighterError("conflict", `cannot kill container: ${reference}: container ${row.id} is not running`);
    if (stops) {
      live.stopRequested = true;
      context.needs.state.write((tx) => setStoppedByUser(tx, row.id, true), { durable: false });
    }
    if (number === SIGKILL) live.task.drainOutput();
    await sendSignal(context, row, live, number);
    // In an object: a bare promise would be awaited under the lock, which the end of the process needs.
    return number === SIGKILL ? { handled: live.exitHandled } : undefined;
  });
  if (ended !== undefined) await Promise.race([ended.handled, Bun.sleep(PATIENCE)]);
}
