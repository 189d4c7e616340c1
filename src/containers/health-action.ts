import { change, type Context, isRunning } from "./context.ts";
import type { HealthAction } from "./health-label.ts";
import { restartContainer } from "./restart.ts";
import { sendSignal } from "./send-signal.ts";
import { stopContainer } from "./stop.ts";

const SIGKILL = 9;

/**
 * Does what was asked for a container that became unhealthy. A kill is no wish of the user: a restart policy applies after it. A restart begins
 * anew with the start period, and a stop holds as if the user had given it.
 */
export async function actOnUnhealthy(context: Context, id: string, action: HealthAction): Promise<void> {
  if (action === "restart") await restartContainer(context, id, {});
  if (action === "stop") await stopContainer(context, id, {});
  if (action === "kill")
    await change(context, id, async (row, live) => {
      if (isRunning(row)) await sendSignal(context, row, live, SIGKILL, { mayBeGone: true });
    });
}
