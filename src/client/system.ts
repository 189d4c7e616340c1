import type { AuthResponse, EventMessage, Plugin, SystemInfo, SystemVersion } from "../wire/engine-api.ts";
import { decodeMessages } from "../wire/jsonstream.ts";
import type { Connection } from "./connection.ts";
import type { Filters } from "./filters.ts";

export function systemInfo(connection: Connection): Promise<SystemInfo> {
  return connection.json("GET", "/info");
}

export function systemVersion(connection: Connection): Promise<SystemVersion> {
  return connection.json("GET", "/version");
}

/** A config, node, plugin, secret, service or task, of daemons that have such. */
export function inspectForeign(connection: Connection, kind: string, name: string): Promise<unknown> {
  return connection.json("GET", `/${kind}s/${encodeURIComponent(name)}${kind === "plugin" ? "/json" : ""}`);
}

/** The engine's plugins. */
export function listPlugins(connection: Connection, filters?: Filters): Promise<Plugin[]> {
  return connection.json("GET", "/plugins", { query: { filters } });
}

/** Checks a login with a registry. */
export function checkAuth(
  connection: Connection,
  login: { username?: string; password?: string; identitytoken?: string; serveraddress: string },
): Promise<AuthResponse> {
  return connection.json("POST", "/auth", { json: login });
}

/** An event, with its nanosecond time in full: as a JSON number it is beyond what JavaScript holds exactly. */
export interface EventLine {
  event: EventMessage;
  nanoseconds: bigint;
  /** The event as the daemon sent it. */
  text: string;
}

/** What happens in the daemon, as it happens, from `since` until `until` (Unix times or RFC 3339). */
export async function* events(
  connection: Connection,
  options: { since?: string; until?: string; filters?: Filters; signal?: AbortSignal } = {},
): AsyncGenerator<EventLine> {
  const { since, until, filters, signal } = options;
  const answer = await connection.request("GET", "/events", {
    query: { since: since || undefined, until: until || undefined, filters },
    ...(signal && { signal }),
  });
  if (answer.body) yield* decodeMessages<EventLine>(answer.body, parseEvent);
}

function parseEvent(text: string): EventLine {
  const event = JSON.parse(text) as EventMessage;
  const exact = /"timeNano":\s*(\d+)/.exec(text)?.[1];
  return { event, nanoseconds: BigInt(exact ?? (event.time ?? 0) * 1e9), text: text.trim() };
}
