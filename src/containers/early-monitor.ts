import { logOf } from "../base/log.ts";
import type { Context } from "./context.ts";
import { debugTarget } from "./debug.ts";
import { monitorOf } from "./monitor-of.ts";
import { layersOf } from "./prepare.ts";
import { ready } from "./ready.ts";
import type { ContainerRow } from "./rows.ts";
import { storageSizeOf } from "./storage-size.ts";

const log = logOf("containers");
const nothing = (): Promise<void> => Promise.resolve();

/**
 * Lets the monitor of a container start up while its network and its specification are made: two milliseconds. Where something may have to be mounted on the host first, it comes
 * later, as what cannot be done here is told then. Returns what ends it if the start comes to nothing.
 */
export function beginMonitor(context: Context, row: ContainerRow): () => Promise<void> {
  if (!isPlain(context, row)) return nothing;
  try {
    void ready(context, row);
    const drop = context.needs.runtime.begin(monitorOf(context, row, layersOf(context, row)));
    // What is left of it must not keep a start that failed from being undone; the next start takes it away.
    return () => drop().catch((error: unknown) => log.warn("after a failed start of {id}: {error}", { id: row.id, error }));
  } catch (error) {
    log.debug("the monitor of {id} comes later: {error}", { id: row.id, error });
    return nothing;
  }
}

/** Whether all of a container's root is there once its directories are. */
function isPlain({ needs }: Context, { desired }: ContainerRow): boolean {
  const { hostConfig: host, mounts } = desired;
  if (desired.users !== undefined) return false;
  if (needs.options.copies === true || storageSizeOf(host, needs.options.defaults) !== undefined) return false;
  const alone = host.IpcMode === "private" || host.IpcMode === "none" || host.IpcMode === "host";
  return alone && mounts.length === 0 && (host.DeviceRequests ?? []).length === 0 && debugTarget(host) === undefined;
}
