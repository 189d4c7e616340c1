import type { EndpointSettings, Network, NetworkCreateData, NetworkCreateResponse, NetworkInspect } from "../wire/engine-api.ts";
import type { Connection } from "./connection.ts";
import type { Filters } from "./filters.ts";

const at = (name: string, verb = ""): string => `/networks/${encodeURIComponent(name)}${verb}`;

export function listNetworks(connection: Connection, filters?: Filters): Promise<Network[]> {
  return connection.json("GET", "/networks", { query: { filters } });
}

export function inspectNetwork(connection: Connection, name: string, options: { verbose?: boolean } = {}): Promise<NetworkInspect> {
  return connection.json("GET", at(name), { query: { verbose: options.verbose || undefined } });
}

/** Makes a network. */
export function createNetwork(connection: Connection, body: NetworkCreateData["body"]): Promise<NetworkCreateResponse> {
  return connection.json("POST", "/networks/create", { json: body });
}

export async function removeNetwork(connection: Connection, name: string): Promise<void> {
  await connection.send("DELETE", at(name));
}

export async function connectNetwork(connection: Connection, name: string, container: string, settings: EndpointSettings): Promise<void> {
  await connection.send("POST", at(name, "/connect"), { json: { Container: container, EndpointConfig: settings } });
}

export async function disconnectNetwork(connection: Connection, name: string, container: string, force: boolean): Promise<void> {
  await connection.send("POST", at(name, "/disconnect"), { json: { Container: container, Force: force } });
}

export function pruneNetworks(connection: Connection, filters?: Filters): Promise<{ NetworksDeleted?: string[] | null }> {
  return connection.json("POST", "/networks/prune", { query: { filters } });
}
