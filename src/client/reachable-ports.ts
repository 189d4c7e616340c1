import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { PortReach } from "../wire/port-reach.ts";
import type { Connection } from "./connection.ts";

/** Published ports of running containers, or of one, with what the outside can reach and why. */
export function reachablePorts(connection: Connection, container?: string): Promise<PortReach[]> {
  return connection.json<PortReach[]>("GET", "/lighter/ports", { query: { container } }).catch(notOurs);
}

/** A daemon that is not ours knows no such request. */
function notOurs(error: unknown): never {
  if (kindOf(error) !== "not-found" || !messageOf(error).includes("page not found")) throw error;
  throw new LighterError("unsupported", "Cannot show what the outside reaches: the daemon is not Lighter, or is too old for it", {
    cause: error,
  });
}
