import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { GcReport } from "../wire/gc-report.ts";
import type { Connection } from "./connection.ts";

/** Collects unused images by the daemon's policy with some keys of it changed (as in daemon.json's `gc`), or asks what would go. */
export function collectImages(connection: Connection, changes: Record<string, unknown>, options: { dryRun: boolean }): Promise<GcReport> {
  return connection
    .json<GcReport>("POST", "/lighter/gc", { query: { "dry-run": options.dryRun || undefined }, json: changes })
    .catch((error: unknown) => notOurs(error, "collect unused images"));
}

/** A daemon that is not ours knows no such request. */
function notOurs(error: unknown, act: string): never {
  if (kindOf(error) !== "not-found" || !messageOf(error).includes("page not found")) throw error;
  throw new LighterError("unsupported", `Cannot ${act}: the daemon is not Lighter, or is too old for it`, { cause: error });
}

/** Patterns of image names that the collection leaves alone. */
export async function listPins(connection: Connection): Promise<string[]> {
  const request = connection.json<{ pins: string[] }>("GET", "/lighter/pins");
  return (await request.catch((error: unknown) => notOurs(error, "show pins"))).pins;
}

/** Adds a pin; one that is there already is fine. */
export async function addPin(connection: Connection, pattern: string): Promise<void> {
  await connection.send("POST", "/lighter/pins", { query: { pattern } }).catch((error: unknown) => notOurs(error, "pin images"));
}

/** Takes a pin away. */
export async function removePin(connection: Connection, pattern: string): Promise<void> {
  await connection.send("DELETE", "/lighter/pins", { query: { pattern } }).catch((error: unknown) => notOurs(error, "unpin images"));
}
