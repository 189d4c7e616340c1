import { change, type Context, tellAlone } from "./context.ts";
import { startLocked } from "./start.ts";
import { stopProcess } from "./stop.ts";

/** Stops a container, if it runs, and starts it. */
export async function restartContainer(context: Context, reference: string, options: { timeout?: number; signal?: string }): Promise<void> {
  const id = await stopForRestart(context, reference, options);
  await change(context, id, async (row, live) => {
    if (row.status !== "running") await startLocked(context, row, live);
    tellAlone(context, row, "restart");
  });
}

/** Stops without the removal that `--rm` would bring; returns the container's id. */
async function stopForRestart(context: Context, reference: string, options: { timeout?: number; signal?: string }): Promise<string> {
  const { id, live } = await change(context, reference, (row, live) => {
    live.restartRequested = true;
    return Promise.resolve({ id: row.id, live });
  });
  try {
    await stopProcess(context, id, options);
  } finally {
    live.restartRequested = false;
  }
  return id;
}
