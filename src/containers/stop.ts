import { LighterError } from "../base/errors.ts";
import { change, type Context, find, isRunning, liveOf, tell } from "./context.ts";
import type { Live } from "./live.ts";
import { type ContainerRow, rowById, setStatus, setStoppedByUser } from "./rows.ts";
import { sendSignal } from "./send-signal.ts";
import { endStartWait } from "./start-wait.ts";
import { isSignal, signalNumber } from "../base/signals.ts";

const SIGKILL = 9;

/** Asks the process to end, and kills it when the time is over. Throws `not-modified` when it does not run. The lock is not held while it waits. */
export async function stopContainer(context: Context, reference: string, options: { timeout?: number; signal?: string }): Promise<void> {
  if (!(await stopProcess(context, reference, options))) throw new LighterError("not-modified", "Container already stopped");
}

/** As {@link stopContainer}; false when there was nothing to stop. */
export async function stopProcess(context: Context, reference: string, options: { timeout?: number; signal?: string }): Promise<boolean> {
  endStartWait(liveOf(context, find(context, reference).id));
  const asked = await change(context, reference, (row, live) => askToStop(context, row, live, options));
  if (asked === undefined) return false;
  const { row, live, ended } = asked;
  const timeout = options.timeout ?? row.desired.config.StopTimeout ?? context.needs.options.defaultStopTimeout;
  if (!(await endsWithin(ended, timeout))) {
    await killNow(context, row.id, live);
    await ended;
  }
  context.needs.state.write((tx) => tell(tx, row, "stop"), { durable: false });
  return true;
}

interface Asked {
  row: ContainerRow;
  live: Live;
  /** Resolves once all that the exit entails is done. */
  ended: Promise<void>;
}

async function askToStop(context: Context, row: ContainerRow, live: Live, options: { signal?: string }): Promise<Asked | undefined> {
  const asked = signalNumber(options.signal || row.desired.config.StopSignal || "SIGTERM");
  // One that the kernel does not know cannot be sent: the process is killed, as with Docker.
  const signal = isSignal(asked) ? asked : SIGKILL;
  if (row.status === "restarting") {
    live.cancelRestart?.();
    context.needs.state.write(
      (tx) => {
        setStoppedByUser(tx, row.id, true);
        setStatus(tx, row.id, "exited");
      },
      { durable: false },
    );
    return { row, live, ended: Promise.resolve() };
  }
  if (!isRunning(row) || live.task === undefined) return undefined;
  live.stopRequested = true;
  context.needs.state.write((tx) => setStoppedByUser(tx, row.id, true), { durable: false });
  live.task.drainOutput();
  await sendSignal(context, row, live, signal, { ends: true, mayBeGone: true });
  return { row, live, ended: live.exitHandled ?? Promise.resolve() };
}

async function killNow(context: Context, id: string, live: Live): Promise<void> {
  await live.lock.run(async () => {
    const row = rowById(context.needs.state, id);
    if (row !== undefined && isRunning(row) && live.task !== undefined) await sendSignal(context, row, live, SIGKILL, { mayBeGone: true });
  });
}

/** Whether something ends within a number of seconds; negative waits for ever. */
async function endsWithin(ended: Promise<void>, seconds: number): Promise<boolean> {
  if (seconds < 0) {
    await ended;
    return true;
  }
  const { promise, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), Math.min(seconds * 1000, 2 ** 31 - 1));
  try {
    return await Promise.race([ended.then(() => true as const), promise]);
  } finally {
    clearTimeout(timer);
  }
}
