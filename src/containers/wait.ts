import { type Context, find, isRunning, liveOf } from "./context.ts";
import type { WaitResult } from "./live.ts";

/** See `Containers.wait`: registered when this returns. */
export function waitContainer(
  context: Context,
  reference: string,
  condition: "not-running" | "next-exit" | "removed",
): { result: Promise<WaitResult>; cancel(): void } {
  const row = find(context, reference);
  const live = liveOf(context, row.id);
  const busy =
    isRunning(row) || row.status === "starting" || row.status === "restarting" || live.task !== undefined || row.status === "stopping";
  if (condition === "not-running" && !busy) {
    return { result: Promise.resolve(resultOf(row)), cancel: () => undefined };
  }
  const waiters = condition === "removed" ? live.removeWaiters : live.exitWaiters;
  const { promise, resolve } = Promise.withResolvers<WaitResult>();
  waiters.add(resolve);
  return { result: promise, cancel: () => void waiters.delete(resolve) };
}

function resultOf(row: { exitCode: number; error: string }): WaitResult {
  return row.error === "" ? { statusCode: row.exitCode } : { statusCode: row.exitCode, error: row.error };
}
