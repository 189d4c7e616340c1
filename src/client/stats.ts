import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { ContainerStatsResponse } from "../wire/engine-api.ts";
import { decodeMessages } from "../wire/jsonstream.ts";
import type { Connection } from "./connection.ts";
import { containerSegment } from "./containers.ts";

/** What one container uses, now. */
export function containerStats(connection: Connection, id: string): Promise<ContainerStatsResponse> {
  return connection.json("GET", `/containers/${containerSegment(id)}/stats`, { query: { stream: false } });
}

/** What one container uses, each second, until it is removed. */
export async function* followStats(
  connection: Connection,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<ContainerStatsResponse, void, undefined> {
  const answer = await connection.request("GET", `/containers/${containerSegment(id)}/stats`, { query: { stream: true }, signal });
  if (answer.body) yield* decodeMessages<ContainerStatsResponse>(answer.body, (text) => JSON.parse(text) as ContainerStatsResponse);
}

/**
 * What all running containers use (with `all` every container, or those of `containers`), in one request.
 * Undefined from a daemon that is not ours: it knows no such request.
 */
export async function allStats(
  connection: Connection,
  options: { all: boolean; containers: readonly string[] },
): Promise<ContainerStatsResponse[] | undefined> {
  try {
    const query = { all: options.all || undefined, container: options.containers.length > 0 ? options.containers : undefined };
    return await connection.json<ContainerStatsResponse[]>("GET", "/lighter/stats", { query });
  } catch (error) {
    if (error instanceof LighterError && kindOf(error) === "not-found" && messageOf(error).includes("page not found")) return undefined;
    throw error;
  }
}
