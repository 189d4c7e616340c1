import { LighterError } from "../base/errors.ts";
import type { Nanoseconds } from "../base/clock.ts";
import type { Reader, Tx } from "../state/state.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import type { PortRule, Reach } from "./firewall.ts";

/** A network's configuration as stored. */
export interface NetworkConfig {
  v: 1;
  internal: boolean;
  attachable: boolean;
  enableIPv4: boolean;
  enableIPv6: boolean;
  ipam: {
    driver: string;
    /** Null where none were given, which Docker tells from an empty object. */
    options: Record<string, string> | null;
    config: { subnet: string; ipRange?: string; gateway?: string; auxAddresses?: Record<string, string> }[];
  };
  options: Record<string, string>;
  labels: Record<string, string>;
  /** Kept for other networks to be made from, with nothing in the kernel. */
  configOnly?: boolean;
  /** Name of the network that options and subnets were taken from. */
  configFrom?: string;
}

/** A network. */
export interface NetworkRow {
  id: string;
  name: string;
  /** `bridge`, `host`, `null`. */
  driver: string;
  created: Nanoseconds;
  /** The bridge device, where there is one. */
  bridge: string | undefined;
  config: NetworkConfig;
}

/** What is known of an endpoint beside its addresses. */
export interface EndpointConfig {
  v: 1;
  /**
   * `active`: of a container that starts or runs. `configured`: connected while the container was stopped, or meant to come back at its next
   * start. `detached`: disconnected while the container was stopped, although it was created with this network.
   */
  state: "active" | "configured" | "detached";
  containerName: string;
  /** What was asked for: fixed addresses, aliases, links, driver options, priority. */
  asked: EndpointSettings;
  /** Name of the interface inside. */
  name: string;
  /** Whether the network was joined by `connect` and therefore survives the end of the container's run. */
  connected: boolean;
  /** The endpoint that default routes and published ports go through. */
  gateway: boolean;
  /** Ports that the container exposes, `80/tcp`; on the gateway endpoint alone. */
  exposed: string[];
  /** Ports that are open at the container's own address, in networks that are routed. */
  direct?: DirectPort[];
  /** The container's own host name and name servers, for its resolver. */
  hostname?: string;
  dns?: string[];
  /** What the container may reach, where it says so itself, and names that it knows without asking anybody. */
  egress?: string;
  extraHosts?: string[];
}

/** A port of a container that is open at its own address. */
export interface DirectPort {
  protocol: PortRule["protocol"];
  port: number;
  families: (4 | 6)[];
}

/** A container's place in a network. */
export interface EndpointRow {
  id: string;
  network: string;
  container: string;
  /** Name of the link on the host; empty for networks without a bridge. */
  hostName: string;
  address4: string | undefined;
  address6: string | undefined;
  mac: string | undefined;
  config: EndpointConfig;
}

/** A published port. */
export interface PortRow extends Omit<PortRule, "address" | "port"> {
  container: string;
  containerPort: number;
  /** Undefined while the container is in no network that leads out. */
  endpoint: string | undefined;
}

interface RawNetwork {
  id: string;
  name: string;
  driver: string;
  created: string;
  interface: string | null;
  config_json: string;
}

interface RawEndpoint {
  id: string;
  network: string;
  container: string;
  interface: string;
  address4: string | null;
  address6: string | null;
  mac: string | null;
  config_json: string;
}

const NETWORK = "SELECT id, name, driver, CAST(created AS TEXT) AS created, interface, config_json FROM networks";
const ENDPOINT = "SELECT id, network, container, interface, address4, address6, mac, config_json FROM endpoints";

/** All networks, oldest first. */
export function allNetworks(reader: Reader): NetworkRow[] {
  return reader.all<RawNetwork>(`${NETWORK} ORDER BY created, name`).map(toNetwork);
}

/** A network by its full id; undefined where there is none. */
export function networkById(reader: Reader, id: string): NetworkRow | undefined {
  const raw = reader.get<RawNetwork>(`${NETWORK} WHERE id = ?`, id);
  return raw === undefined ? undefined : toNetwork(raw);
}

/** A network by its name; undefined where there is none. */
export function networkByName(reader: Reader, name: string): NetworkRow | undefined {
  const raw = reader.get<RawNetwork>(`${NETWORK} WHERE name = ?`, name);
  return raw === undefined ? undefined : toNetwork(raw);
}

/** A network by full id, name, or the beginning of its id, in this order. Throws `not-found` or, for a beginning of several, `invalid`, with Docker's texts. */
export function findNetwork(reader: Reader, reference: string): NetworkRow {
  const exact = networkById(reader, reference) ?? networkByName(reader, reference === "default" ? "bridge" : reference);
  if (exact !== undefined) return exact;
  const found = /^[0-9a-f]+$/.test(reference)
    ? reader.all<RawNetwork>(`${NETWORK} WHERE id >= ? AND id < ?`, reference, `${reference}g`)
    : [];
  const [first] = found;
  if (first === undefined) throw new LighterError("not-found", `network ${reference} not found`);
  if (found.length > 1) throw new LighterError("invalid", `network ${reference} is ambiguous (${found.length} matches found on ID prefix)`);
  return toNetwork(first);
}

/** Stores a network; a name or bridge device in use is `conflict`. */
export function insertNetwork(tx: Tx, row: NetworkRow): void {
  tx.run(
    "INSERT INTO networks (id, name, driver, created, interface, config_json) VALUES (?, ?, ?, ?, ?, ?)",
    row.id,
    row.name,
    row.driver,
    row.created,
    row.bridge ?? null,
    JSON.stringify(row.config),
  );
}

/** Stores a changed configuration and bridge device. */
export function updateNetwork(tx: Tx, row: NetworkRow): void {
  tx.run("UPDATE networks SET interface = ?, config_json = ? WHERE id = ?", row.bridge ?? null, JSON.stringify(row.config), row.id);
}

/** Deletes a network and the places in it that no running container holds. */
export function deleteNetwork(tx: Tx, id: string): void {
  tx.run("DELETE FROM endpoints WHERE network = ?", id);
  tx.run("DELETE FROM networks WHERE id = ?", id);
}

/** The endpoints of a container, in the order of their interfaces. */
export function endpointsOf(reader: Reader, container: string): EndpointRow[] {
  return reader.all<RawEndpoint>(`${ENDPOINT} WHERE container = ?`, container).map(toEndpoint).sort(byInterface);
}

/** The endpoints in a network. */
export function endpointsOn(reader: Reader, network: string): EndpointRow[] {
  return reader.all<RawEndpoint>(`${ENDPOINT} WHERE network = ?`, network).map(toEndpoint);
}

/** Every endpoint. */
export function allEndpoints(reader: Reader): EndpointRow[] {
  return reader.all<RawEndpoint>(ENDPOINT).map(toEndpoint);
}

function byInterface(a: EndpointRow, b: EndpointRow): number {
  return Number(/\d+$/.exec(a.config.name)?.[0] ?? 0) - Number(/\d+$/.exec(b.config.name)?.[0] ?? 0);
}

/** Stores an endpoint in the place of any other of that container in that network; an address or MAC in use is `conflict`. */
export function putEndpoint(tx: Tx, row: EndpointRow): void {
  tx.run("DELETE FROM endpoints WHERE network = ? AND container = ?", row.network, row.container);
  tx.run(
    "INSERT INTO endpoints (id, network, container, interface, address4, address6, mac, config_json) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    row.id,
    row.network,
    row.container,
    row.hostName,
    row.address4 ?? null,
    row.address6 ?? null,
    row.mac ?? null,
    JSON.stringify(row.config),
  );
}

/** Stores what changed of an endpoint's configuration. */
export function updateEndpoint(tx: Tx, endpoint: EndpointRow): void {
  tx.run("UPDATE endpoints SET config_json = ? WHERE id = ?", JSON.stringify(endpoint.config), endpoint.id);
}

/** Deletes an endpoint and its ports. */
export function deleteEndpoint(tx: Tx, id: string): void {
  tx.run("DELETE FROM endpoints WHERE id = ?", id);
}

/** The published ports of a container, by container port and host port. */
export function portsOf(reader: Reader, container: string): PortRow[] {
  return reader
    .all<RawPort>(`${PORT} WHERE container = ? ORDER BY container_port, protocol, host_address, host_port`, container)
    .map(toPort);
}

/** Every published port. */
export function allPorts(reader: Reader): PortRow[] {
  return reader.all<RawPort>(PORT).map(toPort);
}

/** Stores a published port; one in use is `conflict`. */
export function insertPort(tx: Tx, port: PortRow): void {
  tx.run(
    "INSERT INTO ports (protocol, host_address, host_port, container, container_port, endpoint) VALUES (?, ?, ?, ?, ?, ?)",
    port.protocol,
    port.hostAddress,
    port.hostPort,
    port.container,
    port.containerPort,
    port.endpoint ?? null,
  );
}

/** Forgets one published port. */
export function deletePort(tx: Tx, { protocol, hostAddress, hostPort }: PortRow): void {
  tx.run("DELETE FROM ports WHERE protocol = ? AND host_address = ? AND host_port = ?", protocol, hostAddress, hostPort);
}

/** Lets a container's published ports lead to another of its endpoints, or to none for now. */
export function movePorts(tx: Tx, container: string, endpoint: string | undefined): void {
  tx.run("UPDATE ports SET endpoint = ? WHERE container = ?", endpoint ?? null, container);
}

/** Who holds a host port on an address or, for wildcards, on any address of the family; undefined where it is free. */
export function portHolder(reader: Reader, port: { protocol: string; hostAddress: string; hostPort: number }): string | undefined {
  const wildcard = port.hostAddress.includes(":") ? "::" : "0.0.0.0";
  const rows = reader.all<{ container: string; host_address: string }>(
    // With the plus the planner does not go through all ports of the protocol.
    "SELECT container, host_address FROM ports WHERE host_port = ? AND +protocol = ?",
    port.hostPort,
    port.protocol,
  );
  return rows.find(
    ({ host_address: held }) =>
      held === port.hostAddress || held === wildcard || (port.hostAddress === wildcard && held.includes(":") === wildcard.includes(":")),
  )?.container;
}

/** The rules of published ports, under the policy of their network where that has one: with the container's address of the family that the host address has, else its other one (which no rule carries). */
export function portRules(
  ports: readonly PortRow[],
  endpoints: ReadonlyMap<string, EndpointRow>,
  reachOf: (network: string) => Reach | undefined = () => undefined,
): PortRule[] {
  return ports.flatMap(({ protocol, hostAddress, hostPort, containerPort, endpoint }) => {
    const place = endpoints.get(endpoint ?? "");
    const [first, second] = hostAddress.includes(":") ? [place?.address6, place?.address4] : [place?.address4, place?.address6];
    const address = first ?? second;
    if (place === undefined || address === undefined) return [];
    const reach = reachOf(place.network);
    return [{ protocol, hostAddress, hostPort, address, port: containerPort, ...(reach && { reach }) }];
  });
}

interface RawPort {
  protocol: PortRow["protocol"];
  host_address: string;
  host_port: number;
  container: string;
  container_port: number;
  endpoint: string | null;
}

const PORT = "SELECT protocol, host_address, host_port, container, container_port, endpoint FROM ports";

function toPort(raw: RawPort): PortRow {
  return {
    protocol: raw.protocol,
    hostAddress: raw.host_address,
    hostPort: raw.host_port,
    container: raw.container,
    containerPort: raw.container_port,
    endpoint: raw.endpoint ?? undefined,
  };
}

/** What a remembering reader gives twice is parsed once. */
const parsed = new WeakMap<RawNetwork, NetworkRow>();

function toNetwork(raw: RawNetwork): NetworkRow {
  const known = parsed.get(raw);
  if (known !== undefined) return known;
  const row: NetworkRow = {
    id: raw.id,
    name: raw.name,
    driver: raw.driver,
    created: BigInt(raw.created),
    bridge: raw.interface ?? undefined,
    config: JSON.parse(raw.config_json) as NetworkConfig,
  };
  parsed.set(raw, row);
  return row;
}

function toEndpoint(raw: RawEndpoint): EndpointRow {
  return {
    id: raw.id,
    network: raw.network,
    container: raw.container,
    hostName: raw.interface,
    address4: raw.address4 ?? undefined,
    address6: raw.address6 ?? undefined,
    mac: raw.mac ?? undefined,
    config: JSON.parse(raw.config_json) as EndpointConfig,
  };
}
