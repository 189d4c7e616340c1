import { humanDuration } from "../base/units.ts";
import type { Nanoseconds } from "../base/clock.ts";
import type { ContainerState } from "../wire/engine-api.ts";
import type { ContainerRow } from "./rows.ts";

/** The states that the API knows. */
export type ApiStatus = NonNullable<NonNullable<ContainerState>["Status"]>;

/** A row's state as the API names it: what is under way counts as what it was before, or will be. */
export function apiStatus(row: Pick<ContainerRow, "status" | "hasRun">): ApiStatus {
  if (row.status === "starting") return row.hasRun ? "exited" : "created";
  return row.status === "stopping" ? "exited" : row.status;
}

/** The `Status` column of `ps`, in Docker's words: `Up 2 minutes`, `Exited (0) 3 seconds ago`. */
export function statusText(row: ContainerRow, now: Nanoseconds): string {
  const since = (time: Nanoseconds): string => humanDuration(Math.max(0, Number(now - time) / 1e9));
  switch (apiStatus(row)) {
    case "running":
      return `Up ${since(row.started)}${healthText(row.health?.Status)}`;
    case "paused":
      return `Up ${since(row.started)} (Paused)`;
    case "restarting":
      return `Restarting (${row.exitCode}) ${since(row.finished)} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
    case "created":
      return "Created";
    default:
      return row.finished === 0n ? "Created" : `Exited (${row.exitCode}) ${since(row.finished)} ago`;
  }
}

function healthText(status: string | undefined): string {
  if (status === undefined || status === "none") return "";
  return status === "starting" ? " (health: starting)" : ` (${status})`;
}
