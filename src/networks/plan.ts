import { LighterError } from "../base/errors.ts";
import type { Reader } from "../state/state.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import type { NetworkRequest } from "./networks.ts";
import { type NetworkRow, endpointsOf, findNetwork, networkByName } from "./rows.ts";

/** One network that a container is to be in. */
export interface Place {
  network: NetworkRow;
  asked: EndpointSettings;
  /** Joined by `connect`, so that the row outlives the run. */
  connected: boolean;
}

/** Where a container is to be: in another one's namespace, in the host's, or in networks of its own (`none` is one without wires). */
export type Plan = { kind: "container"; target: string } | { kind: "host" | "none"; places: [Place] } | { kind: "bridge"; places: Place[] };

/** Reads the request and what `connect` and `disconnect` changed since. Throws `not-found` for an unknown network, with Docker's text. */
export function planOf(reader: Reader, request: Pick<NetworkRequest, "containerId" | "mode" | "endpoints">): Plan {
  const { mode } = request;
  if (mode.startsWith("container:")) return { kind: "container", target: mode.slice("container:".length) };
  const asked = askedNetworks(reader, request);
  const changes = endpointsOf(reader, request.containerId).filter(({ config }) => config.state !== "active");
  for (const { network: id, config } of changes) {
    if (config.state === "detached") asked.delete(id);
    else if (!asked.has(id)) {
      const network = findNetwork(reader, id);
      asked.set(id, { network, asked: config.asked, connected: true });
    }
  }
  const places = [...asked.values()];
  const special = places.find(({ network }) => network.driver === "host" || network.driver === "null");
  if (special !== undefined) return { kind: special.network.driver === "host" ? "host" : "none", places: [special] };
  const none = networkByName(reader, "none");
  if (places.length === 0 && none !== undefined) return { kind: "none", places: [{ network: none, asked: {}, connected: false }] };
  return { kind: "bridge", places };
}

/** The mode's network first, then the others by name: the order of their interfaces. */
function askedNetworks(reader: Reader, request: Pick<NetworkRequest, "mode" | "endpoints">): Map<string, Place> {
  const main = findNetwork(reader, request.mode === "" ? "default" : request.mode);
  const given = new Map(Object.entries(request.endpoints).map(([name, asked]) => [findNetwork(reader, name), asked ?? {}] as const));
  const others = [...given].filter(([network]) => network.id !== main.id).sort(([a], [b]) => (a.name < b.name ? -1 : 1));
  const own = [...given].find(([network]) => network.id === main.id)?.[1] ?? {};
  return new Map([[main, own] as const, ...others].map(([network, asked]) => [network.id, { network, asked, connected: false }]));
}

/** The index of the place that default routes and ports go through: the highest priority, one that leads out, then by name. */
export function gatewayPlace(places: readonly Pick<Place, "network" | "asked">[]): number {
  const rank = places.map((place, index) => ({ ...place, index }));
  rank.sort(
    (a, b) =>
      (b.asked.GwPriority ?? 0) - (a.asked.GwPriority ?? 0) ||
      Number(a.network.config.internal) - Number(b.network.config.internal) ||
      (a.network.name < b.network.name ? -1 : 1),
  );
  return rank[0]?.index ?? 0;
}

/** Docker's sentence for a request of another container's namespace while that one does not run. */
export function notRunning(id: string): LighterError {
  return new LighterError("conflict", `cannot join network of a non running container: ${id}`);
}
