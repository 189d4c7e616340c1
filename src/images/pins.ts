import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import type { Reader, State } from "../state/state.ts";

/** Patterns of image names that the collection of unused images leaves alone, in order. */
export function pinsOf(state: Reader): string[] {
  return state.all<{ pattern: string }>("SELECT pattern FROM image_pins ORDER BY pattern").map((row) => row.pattern);
}

/** The pattern as it is. Throws `invalid` for one that no name can match: what is thought to be kept would go. */
export function checkPin(pattern: string): string {
  if (/^[a-z0-9*?[][\w.:/*?@[\]^-]*$/i.test(pattern)) return pattern;
  throw new LighterError("invalid", `Cannot pin "${pattern}": no image can be called so`);
}

/** Adds a pin; one that is there already is fine. Throws as {@link checkPin}. */
export function addPin(state: State, pattern: string): void {
  checkPin(pattern);
  state.write((tx) => tx.run("INSERT INTO image_pins (pattern, created) VALUES (?, ?) ON CONFLICT DO NOTHING", pattern, now()), {
    durable: true,
  });
}

/** Takes a pin away. Throws `not-found`. */
export function removePin(state: State, pattern: string): void {
  const { changes } = state.write((tx) => tx.run("DELETE FROM image_pins WHERE pattern = ?", pattern), { durable: true });
  if (changes === 0) throw new LighterError("not-found", `Cannot unpin "${pattern}": it is not pinned`);
}
