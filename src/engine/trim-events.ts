import { now } from "../base/clock.ts";
import { trimEvents } from "../state/events.ts";
import type { State } from "../state/state.ts";

const DAY = 24n * 3600n * 1_000_000_000n;
/** Events are kept for this long, and this many of them; of those of execs, which health checks make without end, fewer. */
const AGE = 90n * DAY;
const COUNT = 200_000;
const EXECS = 50_000;
const EVERY_MILLISECONDS = 60_000;
/** Rows that go in one transaction. */
const AT_ONCE = 2_000;

/** Keeps the event log within its bounds, in small steps; returns the function that ends it. */
export function trimEventsRegularly(state: State): () => void {
  let next: ReturnType<typeof setTimeout> | undefined;
  const step = (): void => {
    const gone = state.write((tx) => trimEvents(tx, { before: now() - AGE, keep: COUNT, keepExecs: EXECS, limit: AT_ONCE }), {
      durable: false,
    });
    // Others have their turn before the next piece.
    next = setTimeout(step, gone >= AT_ONCE ? 20 : EVERY_MILLISECONDS);
    next.unref();
  };
  step();
  return () => clearTimeout(next);
}
