import { hasDirectories, makeCopies, makeDirectories, makeLimited } from "./directories.ts";
import type { Context } from "./context.ts";
import { stackOf } from "./prepare.ts";
import { type ContainerRow, rowById } from "./rows.ts";
import { storageSizeOf } from "./storage-size.ts";

/**
 * Makes the container's directories where that has not happened yet: after a create, or a crash. Called under the container's lock.
 * Done when it returns, but where roots are copies or limited: then done when the promise is.
 */
export function ready(context: Context, row: ContainerRow): Promise<void> | undefined {
  if (hasDirectories(context, row.id)) return undefined;
  const layers = row.chainId === undefined ? [] : stackOf(context, row);
  if (context.needs.options.copies === true) return makeCopies(context, row.id, layers);
  const size = storageSizeOf(row.desired.hostConfig, context.needs.options.defaults);
  if (size !== undefined) return makeLimited(context, row.id, layers, size);
  makeDirectories(context, row.id, layers);
  return undefined;
}

/** Makes them in a moment when nobody waits: after the answer to a create, while the client thinks about its next request. */
export function readySoon(context: Context, id: string): void {
  // A copy takes its time, and the lock of whoever needs it.
  if (context.needs.options.copies === true) return;
  setImmediate(() => {
    const row = context.closing ? undefined : rowById(context.needs.state, id);
    // A limit, too, is set under the lock of who needs it.
    if (row?.status !== "created" || storageSizeOf(row.desired.hostConfig, context.needs.options.defaults) !== undefined) return;
    try {
      void ready(context, row);
    } catch {
      // Whoever needs them tries again, and tells.
    }
  });
}
