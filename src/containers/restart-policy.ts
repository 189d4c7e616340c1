import { LighterError } from "../base/errors.ts";
import type { RestartPolicy } from "../wire/engine-api.ts";

const FIRST_DELAY = 100;
const LONGEST_DELAY = 60_000;
/** A run of this many milliseconds counts as a success: the delays begin anew. */
const GOOD_RUN = 10_000;

/** Checks `--restart` with Docker's texts. */
export function validateRestartPolicy(policy: RestartPolicy, autoRemove: boolean): void {
  const name: string = policy.Name ?? "";
  const count = policy.MaximumRetryCount ?? 0;
  if (!["", "no", "always", "unless-stopped", "on-failure"].includes(name)) {
    throw new LighterError(
      "invalid",
      `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  }
  if (count !== 0 && name !== "on-failure")
    throw new LighterError("invalid", `invalid restart policy: maximum retry count can only be used with 'on-failure'`);
  if (count < 0) throw new LighterError("invalid", "invalid restart policy: maximum retry count cannot be negative");
  if (autoRemove && name !== "" && name !== "no")
    throw new LighterError("invalid", "can't create 'AutoRemove' container with restart policy");
}

/** Whether a container whose process ended is to be started again. */
export function shouldRestart(
  policy: RestartPolicy | undefined,
  state: { exitCode: number; restartCount: number; stoppedByUser: boolean },
): boolean {
  switch (policy?.Name) {
    case "always":
      return true;
    case "unless-stopped":
      return !state.stoppedByUser;
    case "on-failure": {
      const most = policy.MaximumRetryCount ?? 0;
      return state.exitCode !== 0 && (most === 0 || state.restartCount < most);
    }
    default:
      return false;
  }
}

/**
 * Milliseconds to wait before the next start: 100 at first, doubled each time up to a minute.
 * @param previous what the last restart waited, 0 for none
 * @param ran how long the last run took, in milliseconds
 */
export function restartDelay(previous: number, ran: number): number {
  if (previous === 0 || ran >= GOOD_RUN) return FIRST_DELAY;
  return Math.min(previous * 2, LONGEST_DELAY);
}
