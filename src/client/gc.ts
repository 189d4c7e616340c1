import type { GcReport } from "../wire/gc-report.ts";
import type { Connection } from "./connection.ts";

/** Collects unused images by the daemon's policy with some keys of it changed (as in daemon.json's `gc`), or asks what would go. */
export function collectImages(connection: Connection, changes: Record<string, unknown>, options: { dryRun: boolean }): Promise<GcReport> {
  return connection.json("POST", "/lighter/gc", { query: { "dry-run": options.dryRun || undefined }, json: changes });
}

/** Patterns of image names that the collection leaves alone. */
export async function listPins(connection: Connection): Promise<string[]> {
  return (await connection.json<{ pins: string[] }>("GET", "/lighter/pins")).pins;
}

/** Adds a pin; one that is there already is fine. */
export async function addPin(connection: Connection, pattern: string): Promise<void> {
  await connection.send("POST", "/lighter/pins", { query: { pattern } });
}

/** Takes a pin away. */
export async function removePin(connection: Connection, pattern: string): Promise<void> {
  await connection.send("DELETE", "/lighter/pins", { query: { pattern } });
}
