import { hasDirectories, makeDirectories } from "./directories.ts";
import type { Context } from "./context.ts";
import { layersOf } from "./prepare.ts";
import { type ContainerRow, rowById } from "./rows.ts";

/** Makes the container's directories where that has not happened yet: after a create, or a crash. Called under the container's lock. */
export function ready(context: Context, row: ContainerRow): void {
  if (hasDirectories(context, row.id)) return;
  makeDirectories(context, row.id, row.chainId === undefined ? [] : layersOf(context, row));
}

/** Makes them in a moment when nobody waits: after the answer to a create, while the client thinks about its next request. */
export function readySoon(context: Context, id: string): void {
  setImmediate(() => {
    const row = context.closing ? undefined : rowById(context.needs.state, id);
    if (row?.status !== "created") return;
    try {
      ready(context, row);
    } catch {
      // Whoever needs them tries again, and tells.
    }
  });
}
