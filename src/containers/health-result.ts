import type { Nanoseconds } from "../base/clock.ts";
import type { Probe } from "./health-probe.ts";

/** How one check went, as inspect shows it. `ExitCode` is -1 where there is none: it took too long, or could not be run. */
export interface ProbeResult {
  Start: string;
  End: string;
  ExitCode: number;
  Output: string;
}

/** What `containers.health_json` holds: cheap to read with every row. */
export interface HealthState {
  Status: "starting" | "healthy" | "unhealthy";
  FailingStreak: number;
  /** While it is paused: its status until then. */
  Before?: string;
}

/** Results that are kept. */
const KEPT = 5;

/** The log with one more result: the newest five. */
export function withResult(log: readonly ProbeResult[], result: ProbeResult): ProbeResult[] {
  return [...log, result].slice(-KEPT);
}

/**
 * What a result makes of a container's health. Failures within the start period do not count unless it has been healthy before.
 * @param age nanoseconds between the start of the container and that of the check
 */
export function healthAfter(state: HealthState, exitCode: number, probe: Probe, age: Nanoseconds): HealthState {
  if (exitCode === 0) return { Status: "healthy", FailingStreak: 0 };
  if (state.Status === "starting" && age < BigInt(probe.startPeriod)) return state;
  const FailingStreak = state.FailingStreak + 1;
  return { Status: FailingStreak >= probe.retries ? "unhealthy" : state.Status, FailingStreak };
}
