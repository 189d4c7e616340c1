import { LighterError } from "../base/errors.ts";
import type { TerminalSize } from "../wire/stream.ts";
import { type Context, find, liveOf, tellAlone } from "./context.ts";

/** Changes the size of a running container's terminal; without one there is nothing to do, as with Docker. */
export function resizeContainer(context: Context, reference: string, size: TerminalSize): void {
  const row = find(context, reference);
  const task = liveOf(context, row.id).task;
  if (task === undefined || row.status === "created" || row.status === "exited")
    throw new LighterError("conflict", `Container ${row.id} is not running`);
  if (row.desired.config.Tty) task.resize(size);
  tellAlone(context, row, "resize", { height: String(size.height), width: String(size.width) });
}
