import { kindOf } from "../base/errors.ts";
import { restingReader } from "../state/remember.ts";
import type { Reader } from "../state/state.ts";
import type { EndpointSettings, PortMap } from "../wire/engine-api.ts";
import { type Context, prefixOf } from "./context.ts";
import { directRules } from "./direct-ports.ts";
import { routeOf } from "./gateways.ts";
import { dnsNames, hasNames } from "./names.ts";
import type { NetworkRequest } from "./networks.ts";
import { planOf } from "./plan.ts";
import { type EndpointRow, type NetworkRow, endpointsOf, networkById, portsOf } from "./rows.ts";

type Asked = Pick<NetworkRequest, "mode" | "endpoints">;

/** A container's networks and ports as inspect shows them. */
export function settings(
  context: Context,
  reader: Reader,
  container: string,
  asked?: Asked,
): { networks: Record<string, EndpointSettings>; ports: PortMap; sandboxId: string; sandboxKey: string } {
  const { networks, ports, first } = placesAndPorts(reader, container, asked);
  if (first === undefined) return { networks, ports, sandboxId: "", sandboxKey: "" };
  const sandboxId = new Bun.CryptoHasher("sha256").update(`sandbox ${first.id}`).digest("hex");
  const { pid } = context.needs.container(container);
  return { networks, ports, sandboxId, sandboxKey: pid === undefined ? "" : `/proc/${pid}/ns/net` };
}

/** The networks and ports of many containers at one moment, as ps shows them; of use until the next `await`. */
export function summaries(
  state: Reader,
): (container: string, asked: Asked) => { networks: Record<string, EndpointSettings>; ports: PortMap } {
  const reader = restingReader(state);
  return (container, asked) => {
    const { networks, ports } = placesAndPorts(reader, container, asked);
    return { networks, ports };
  };
}

/** Networks and ports, and the first endpoint of a container that runs. */
function placesAndPorts(
  reader: Reader,
  container: string,
  asked: Asked | undefined,
): { networks: Record<string, EndpointSettings>; ports: PortMap; first: EndpointRow | undefined } {
  const endpoints = endpointsOf(reader, container).filter(({ config }) => config.state !== "detached");
  const networks: Record<string, EndpointSettings> = {};
  for (const endpoint of endpoints) {
    const network = networkById(reader, endpoint.network);
    if (network !== undefined) networks[network.name] = endpointSettings(network, endpoint);
  }
  const first = endpoints.find(({ config }) => config.state === "active");
  if (first !== undefined) return { networks, ports: portMap(reader, container, endpoints), first };
  const planned = asked === undefined ? {} : plannedNetworks(reader, { containerId: container, ...asked });
  return { networks: { ...planned, ...networks }, ports: {}, first };
}

/** The networks of a container that does not run, without addresses; one that was removed since keeps its name and has no id. */
function plannedNetworks(
  reader: Reader,
  request: Pick<NetworkRequest, "containerId" | "mode" | "endpoints">,
): Record<string, EndpointSettings> {
  const place = { id: "", container: request.containerId, hostName: "", address4: undefined, address6: undefined, mac: undefined };
  const config = {
    v: 1 as const,
    state: "configured" as const,
    containerName: "",
    name: "",
    connected: false,
    gateway: false,
    exposed: [],
  };
  try {
    const plan = planOf(reader, request);
    if (plan.kind === "container") return {};
    return Object.fromEntries(
      plan.places.map(({ network, asked }) => [
        network.name,
        {
          ...endpointSettings(network, { ...place, network: network.id, config: { ...config, asked } }),
          DNSNames: NIL as unknown as string[],
        },
      ]),
    );
  } catch (error) {
    if (kindOf(error) !== "not-found") throw error;
    const names = Object.keys(request.endpoints).length > 0 ? Object.keys(request.endpoints) : [request.mode];
    return Object.fromEntries(names.map((name) => [name, { ...request.endpoints[name], NetworkID: "", EndpointID: "", IPAddress: "" }]));
  }
}

/** Go's nil where Docker answers `null` although its schema does not say so. */
const NIL = null as unknown as undefined;

const nullable = <T extends object>(value: T | undefined): T =>
  value === undefined || Object.keys(value).length === 0 ? (NIL as unknown as T) : value;

function endpointSettings(network: NetworkRow, endpoint: EndpointRow): EndpointSettings {
  const { asked, state } = endpoint.config;
  const active = state === "active";
  return {
    IPAMConfig: asked.IPAMConfig ?? (NIL as unknown as NonNullable<typeof asked.IPAMConfig>),
    Links: nullable(asked.Links),
    Aliases: nullable(asked.Aliases),
    MacAddress: endpoint.mac ?? (active ? "" : (asked.MacAddress ?? "")),
    DriverOpts: asked.DriverOpts ?? null,
    GwPriority: asked.GwPriority ?? 0,
    NetworkID: network.id,
    EndpointID: active ? endpoint.id : "",
    Gateway: endpoint.address4 === undefined || network.config.internal ? "" : (routeOf(network, 4) ?? ""),
    IPAddress: endpoint.address4 ?? "",
    IPPrefixLen: endpoint.address4 === undefined ? 0 : prefixOf(network, 4),
    IPv6Gateway: endpoint.address6 === undefined || network.config.internal ? "" : (routeOf(network, 6) ?? ""),
    GlobalIPv6Address: endpoint.address6 ?? "",
    GlobalIPv6PrefixLen: endpoint.address6 === undefined ? 0 : prefixOf(network, 6),
    DNSNames: hasNames(network) ? dnsNames(endpoint) : (NIL as unknown as string[]),
  };
}

function portMap(reader: Reader, container: string, endpoints: EndpointRow[]): PortMap {
  const ports: PortMap = {};
  for (const key of endpoints.flatMap(({ config }) => (config.gateway && config.state === "active" ? config.exposed : []))) {
    ports[key.includes("/") ? key : `${key}/tcp`] = null;
  }
  for (const { protocol, containerPort, hostAddress, hostPort } of portsOf(reader, container)) {
    (ports[`${containerPort}/${protocol}`] ??= []).push({ HostIp: hostAddress, HostPort: String(hostPort) });
  }
  for (const endpoint of endpoints) {
    for (const { protocol, port, hostAddress } of directRules(endpoint))
      (ports[`${port}/${protocol}`] ??= []).push({ HostIp: hostAddress.includes(":") ? "::" : "0.0.0.0", HostPort: "" });
  }
  return ports;
}
