import type { ContainerConfig } from "../wire/engine-api.ts";

const SECOND = 1_000_000_000;

/** A container's health check with Docker's defaults filled in. Times in nanoseconds, as the API has them. */
export interface Probe {
  /** The program and its arguments. */
  command: string[];
  interval: number;
  timeout: number;
  startPeriod: number;
  startInterval: number;
  /** Failures in a row that mean unhealthy. */
  retries: number;
}

/** The health check that a configuration asks for; undefined for none, `NONE`, and kinds that nobody knows. */
export function probeOf(config: ContainerConfig): Probe | undefined {
  const health = config.Healthcheck;
  const command = commandOf(health?.Test ?? [], config.Shell ?? []);
  if (!health || command.length === 0) return undefined;
  return {
    command,
    interval: health.Interval || 30 * SECOND,
    timeout: health.Timeout || 30 * SECOND,
    startPeriod: health.StartPeriod || 0,
    startInterval: health.StartInterval || 5 * SECOND,
    retries: health.Retries || 3,
  };
}

function commandOf([kind, ...words]: readonly string[], shell: readonly string[]): string[] {
  if (words.length === 0) return [];
  if (kind === "CMD") return words;
  if (kind === "CMD-SHELL") return [...(shell.length > 0 ? shell : ["/bin/sh", "-c"]), ...words];
  return [];
}

/**
 * Nanoseconds until the next check: while a container starts and has not been healthy yet, the shorter distance counts.
 * @param age nanoseconds since the container was started
 */
export function intervalOf(probe: Probe, status: string | undefined, age: number): number {
  return status === "starting" && age < probe.startPeriod ? probe.startInterval : probe.interval;
}
