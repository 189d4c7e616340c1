import { logOf } from "../base/log.ts";
import { type Context, liveOf } from "./context.ts";
import { killCheck } from "./health-check.ts";
import { checksUnderWay, setChecking } from "./health-rows.ts";

const log = logOf("containers");

/**
 * Takes up the checks of the last daemon, once containers and execs are adopted: what was under way is killed and counts for nothing, what is
 * next begins when its row says.
 * @param running ids of the containers that run on
 */
export function restoreHealth(context: Context, running: Iterable<string>): void {
  for (const { container, exec } of checksUnderWay(context.needs.state)) {
    killCheck(liveOf(context, container), exec).catch((error: unknown) =>
      log.warn("cannot end a check of {id}: {error}", { id: container, error }),
    );
    context.needs.state.write((tx) => setChecking(tx, container, undefined), { durable: false });
  }
  for (const id of running) context.health.begin(id);
}
