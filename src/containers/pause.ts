import { LighterError } from "../base/errors.ts";
import { change, type Context, tell } from "./context.ts";
import { healthPauses, healthResumes } from "./health-rows.ts";
import { type ContainerRow, setStatus } from "./rows.ts";

/** Freezes all processes of a container. */
export function pauseContainer(context: Context, reference: string): Promise<void> {
  return change(context, reference, async (row, live) => {
    if (row.status === "paused") throw new LighterError("conflict", `Container ${row.id} is already paused`);
    requireRunning(row);
    await live.task?.pause();
    context.needs.state.write(
      (tx) => {
        setStatus(tx, row.id, "paused");
        healthPauses(tx, row);
        tell(tx, row, "pause");
      },
      { durable: false },
    );
    context.health.end(row.id);
  });
}

/** Lets a paused container go on. */
export function unpauseContainer(context: Context, reference: string): Promise<void> {
  return change(context, reference, async (row, live) => {
    if (row.status !== "paused") throw new LighterError("conflict", `Container ${row.id} is not paused`);
    await live.task?.resume();
    context.needs.state.write(
      (tx) => {
        setStatus(tx, row.id, "running");
        healthResumes(tx, row);
        tell(tx, row, "unpause");
      },
      { durable: false },
    );
    context.health.begin(row.id);
  });
}

/** Throws Docker's `conflict` unless the container's process runs. */
export function requireRunning(row: ContainerRow): void {
  if (row.status === "restarting")
    throw new LighterError("conflict", `Container ${row.id} is restarting, wait until the container is running`);
  if (row.status !== "running") throw new LighterError("conflict", `container ${row.id} is not running`);
}
