import { readFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import type { Tx } from "../state/state.ts";
import { type Binding, EPHEMERAL, bindingsOf } from "./bindings.ts";
import { type Context, heldOf, onRollback } from "./context.ts";
import { OPTION } from "./bridge-options.ts";
import { routedFamilies } from "./direct-ports.ts";
import { REASON } from "./lost-ports.ts";
import type { NetworkRequest } from "./networks.ts";
import { type HeldPort, type HostPort, dropPort, holdPort } from "./port-sockets.ts";
import { type EndpointRow, insertPort, networkById, portHolder } from "./rows.ts";

let nextEphemeral: number = EPHEMERAL.first;

/** Takes the host ports of a container: a row and a bound socket each. Throws `unavailable` (500 on Docker's wire) with Docker's texts for one in use. */
export function reservePorts(context: Context, tx: Tx, request: NetworkRequest, endpoint: EndpointRow): void {
  reserveBindings(context, tx, { container: request.containerId, endpoint, bindings: bindingsOf(request) });
}

/** As {@link reservePorts}, for some of a container's wishes. */
export function reserveBindings(
  context: Context,
  tx: Tx,
  { container, endpoint, bindings }: { container: string; endpoint: EndpointRow; bindings: readonly Binding[] },
): void {
  const sockets = heldOf(context, container).sockets;
  const before = sockets.length;
  onRollback(tx, () => {
    for (const { fd } of sockets.splice(before)) dropPort(fd);
  });
  if (bindings.length === 0) return;
  const options = networkById(tx, endpoint.network)?.config.options ?? {};
  const defaultAddress = options[OPTION.hostBinding] ?? "0.0.0.0";
  const routed = routedFamilies(options);
  const ipv6 = hostHasIPv6();
  for (const binding of bindings) {
    const addresses = addressesOf(binding, endpoint, { defaultAddress, ipv6, routed });
    if (addresses.length === 0) continue;
    const hostPort = takePort(context, tx, binding, addresses, endpoint, sockets);
    for (const hostAddress of addresses) {
      insertPort(tx, {
        protocol: binding.protocol,
        hostAddress,
        hostPort,
        container,
        containerPort: binding.containerPort,
        endpoint: endpoint.id,
      });
    }
  }
}

/**
 * No host address is taken for families that are routed. Else the network's default where no address was named, mostly every one of the host, of both families: what the container has no address for is relayed. A
 * host without IPv6 has none of it, and SCTP is not relayed.
 */
function addressesOf(
  { hostAddress, protocol }: Binding,
  endpoint: EndpointRow,
  { defaultAddress, ipv6, routed }: { defaultAddress: string; ipv6: boolean; routed: readonly (4 | 6)[] },
): string[] {
  const isTaken = (address: string): boolean => !routed.includes(address.includes(":") ? 6 : 4);
  if (hostAddress !== "") return [hostAddress].filter(isTaken);
  if (defaultAddress !== "0.0.0.0") return [defaultAddress].filter(isTaken);
  // What has a way of its own is not relayed beside it.
  const relayed = protocol !== "sctp" && routed.length === 0;
  const four = endpoint.address4 !== undefined || relayed;
  const six = (endpoint.address6 !== undefined || relayed) && ipv6;
  return [...(four ? ["0.0.0.0"] : []), ...(six || !four ? ["::"] : [])].filter(isTaken);
}

/** Whether any link of the host has an IPv6 address, the loopback included. */
function hostHasIPv6(): boolean {
  try {
    return readFileSync("/proc/net/if_inet6", "utf8") !== "";
  } catch {
    return false;
  }
}

function takePort(context: Context, tx: Tx, binding: Binding, addresses: string[], endpoint: EndpointRow, sockets: HeldPort[]): number {
  const failures: LighterError[] = [];
  for (const hostPort of candidates(binding)) {
    const failure = tryPort(context, tx, { binding, addresses, hostPort, endpoint, sockets });
    if (failure === undefined) return hostPort;
    failures.push(failure);
  }
  const [only] = failures;
  if (only !== undefined && failures.length === 1) throw only;
  throw failedOn(
    endpoint,
    binding.first === 0
      ? "all ports are allocated"
      : `Bind for ${addresses[0]}:${binding.first}-${binding.last} failed: all ports are allocated`,
  );
}

function* candidates({ first, last }: Binding): Generator<number> {
  for (let port = first; first > 0 && port <= last; port++) yield port;
  if (first > 0) return;
  const count = EPHEMERAL.last - EPHEMERAL.first + 1;
  for (let tried = 0; tried < count; tried++) {
    const port = nextEphemeral;
    nextEphemeral = port === EPHEMERAL.last ? EPHEMERAL.first : port + 1;
    yield port;
  }
}

function tryPort(
  context: Context,
  tx: Tx,
  {
    binding,
    addresses,
    hostPort,
    endpoint,
    sockets,
  }: { binding: Binding; addresses: string[]; hostPort: number; endpoint: EndpointRow; sockets: HeldPort[] },
): LighterError | undefined {
  const taken: HeldPort[] = [];
  for (const hostAddress of addresses) {
    const port = { protocol: binding.protocol, hostAddress, hostPort };
    const where = `${hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress}:${hostPort}`;
    const failure =
      portHolder(tx, port) === undefined ? hold(context, port) : failedOn(endpoint, `Bind for ${where} failed: port is already allocated`);
    if (typeof failure === "number") {
      if (failure !== KEPT) taken.push({ ...port, fd: failure });
      continue;
    }
    for (const { fd } of taken) dropPort(fd);
    if (typeof failure !== "string") return failure;
    return failedOn(endpoint, `failed to bind host port ${where}/${binding.protocol}: ${REASON[failure] ?? failure}`);
  }
  sockets.push(...taken);
  return undefined;
}

/** The keeper has it: a port of the same container that is to lead elsewhere. */
const KEPT = -2;

function hold(context: Context, port: HostPort): number | string {
  return context.keeper.has(port) ? KEPT : holdPort(port);
}

function failedOn(endpoint: EndpointRow, what: string): LighterError {
  const { id, config } = endpoint;
  return new LighterError(
    "unavailable",
    `failed to set up container networking: driver failed programming external connectivity on endpoint ${config.containerName} (${id}): ${what}`,
  );
}
