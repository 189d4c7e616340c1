import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { change, type Context, find, isRunning, liveOf } from "./context.ts";
import { setStatus, setStoppedByUser } from "./rows.ts";
import { sendSignal } from "./send-signal.ts";
import { endStartWait } from "./start-wait.ts";
import { isSignal, signalNumber } from "../base/signals.ts";

const SIGKILL = 9;
/** SIGHUP, SIGINT, SIGQUIT, SIGKILL and SIGTERM: who sends one to a container that is starting wants it down. */
const ENDING: ReadonlySet<number> = new Set([1, 2, 3, SIGKILL, 15]);
/** Milliseconds that a kill waits for the end of the process. */
const PATIENCE = 10_000;

/**
 * Sends a signal to a container's first process. SIGKILL and the container's stop signal count as the user's wish that it stays down. Where it has no
 * stop signal of its own any signal thaws a paused one, and ends the wait for a restart.
 */
export async function killContainer(context: Context, reference: string, signal: string): Promise<void> {
  const number = signalNumber(signal === "" ? "SIGKILL" : signal);
  try {
    await killOne(context, reference, number);
  } catch (error) {
    const kind = kindOf(error);
    if (kind !== "not-found" && kind !== "conflict" && kind !== "invalid") throw error;
    throw new LighterError(kind, `cannot kill container: ${reference}: ${messageOf(error)}`, { cause: error });
  }
}

async function killOne(context: Context, reference: string, number: number): Promise<void> {
  if (ENDING.has(number)) endStartWait(liveOf(context, find(context, reference).id));
  const ended = await change(context, reference, async (row, live) => {
    const stops = number === SIGKILL || number === signalNumber(row.desired.config.StopSignal || "SIGTERM");
    const ends = stops || !row.desired.config.StopSignal;
    if (!isSignal(number)) throw new LighterError("invalid", `the linux daemon does not support signal ${number}`);
    if (row.status === "restarting" && ends) {
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
    if (!isRunning(row) || live.task === undefined) throw new LighterError("conflict", `container ${row.id} is not running`);
    if (stops) {
      live.stopRequested = true;
      context.needs.state.write((tx) => setStoppedByUser(tx, row.id, true), { durable: false });
    }
    if (number === SIGKILL) live.task.drainOutput();
    await sendSignal(context, row, live, number, { ends });
    // In an object: a bare promise would be awaited under the lock, which the end of the process needs.
    return number === SIGKILL ? { handled: live.exitHandled } : undefined;
  });
  if (ended !== undefined) await Promise.race([ended.handled, Bun.sleep(PATIENCE)]);
}
