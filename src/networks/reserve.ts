import { newId } from "../base/ids.ts";
import { LighterError, kindOf } from "../base/errors.ts";
import { appendEvent } from "../state/events.ts";
import type { Tx } from "../state/state.ts";
import { macOf, parseAddress, parseMac, formatMac } from "./addresses.ts";
import { bindingsOf } from "./bindings.ts";
import { OPTION } from "./bridge-options.ts";
import { type Context, heldOf, newHostName, onRollback } from "./context.ts";
import { directPorts } from "./direct-ports.ts";
import { interfaceNames, isPlain } from "./endpoint-options.ts";
import { checkEgress } from "./check-egress.ts";
import type { NetworkRequest } from "./networks.ts";
import { hasInterface, isOnParent } from "./parent.ts";
import { type Place, gatewayPlace, notRunning, planOf } from "./plan.ts";
import { reservePorts } from "./reserve-ports.ts";
import { type DirectPort, type EndpointRow, putEndpoint } from "./rows.ts";

/** Takes what a start needs: a row for each network with its addresses, and the host ports; the row's constraints and bound sockets decide. */
export function reserve(context: Context, tx: Tx, request: NetworkRequest): void {
  // Networks may have been joined since it was created.
  checkEgress(tx, request);
  const plan = planOf(tx, request);
  if (plan.kind === "container") {
    const target = context.needs.container(plan.target);
    if (target.pid === undefined) throw notRunning(target.id);
    return;
  }
  const gateway = gatewayPlace(plan.places);
  const names = interfaceNames(plan.places.map(namedPlace));
  const exposed = plan.kind === "bridge" ? [...new Set([...request.exposed, ...Object.keys(request.portBindings)])] : [];
  plan.places.forEach((place, index) => {
    const isGateway = index === gateway;
    const endpoint = takePlace(context, tx, place, {
      container: request.containerId,
      containerName: request.containerName,
      name: names[index] ?? `eth${index}`,
      gateway: isGateway,
      exposed: isGateway ? exposed : [],
      direct: isGateway && plan.kind === "bridge" ? directPorts(place.network.config.options, bindingsOf(request)) : [],
      mayPool: plan.places.length === 1 && isPlain(place.asked) && request.ownUsers !== true,
      hostname: request.hostname,
      dns: request.dns,
      egress: request.egress,
      extraHosts: request.extraHosts,
    });
    // What sits on a link of the host has all its ports open there already.
    if (isGateway && plan.kind === "bridge" && !isOnParent(place.network)) reservePorts(context, tx, request, endpoint);
  });
}

/** What names a place's interface. */
export function namedPlace({ network, asked }: Pick<Place, "network" | "asked">): { asked: Place["asked"]; prefix: string } {
  return { asked, prefix: network.config.options[OPTION.prefix] || "eth" };
}

/** What a place's row says beside its addresses. */
export interface PlaceOptions {
  container: string;
  containerName: string;
  name: string;
  gateway: boolean;
  exposed: string[];
  /** Ports that are open at its own address. */
  direct?: DirectPort[];
  /** Whether a namespace of the pool will do. */
  mayPool: boolean;
  hostname: string;
  dns: string[];
  egress?: string | undefined;
  extraHosts?: string[] | undefined;
}

/** Makes the row of one place with free or fixed addresses, and tells it by an event. */
export function takePlace(context: Context, tx: Tx, place: Place, options: PlaceOptions): EndpointRow {
  const { network, asked } = place;
  const { container, containerName, name, gateway, exposed, hostname, dns, egress, extraHosts } = options;
  const limits = egress === undefined ? {} : { egress };
  const known = (extraHosts ?? []).length === 0 ? {} : { extraHosts: extraHosts ?? [] };
  const addresses = hasInterface(network) ? takeAddresses(context, tx, place, options) : undefined;
  const endpoint: EndpointRow = {
    id: newId(),
    network: network.id,
    container,
    hostName: addresses?.hostName ?? "",
    address4: addresses?.address4,
    address6: addresses?.address6,
    mac: addresses?.mac,
    config: {
      v: 1,
      state: "active",
      containerName,
      asked,
      name,
      connected: place.connected,
      gateway,
      exposed,
      ...((options.direct ?? []).length > 0 && { direct: options.direct }),
      hostname,
      dns,
      ...limits,
      ...known,
    },
  };
  try {
    putEndpoint(tx, endpoint);
  } catch (error) {
    if (kindOf(error) === "conflict") throw new LighterError("conflict", "Address already in use", { cause: error });
    throw error;
  }
  tx.afterCommit(() => context.names.changed(network.id));
  networkEvent(tx, "connect", { id: network.id, name: network.name, driver: network.driver }, container);
  return endpoint;
}

interface Taken {
  hostName: string;
  address4: string | undefined;
  address6: string | undefined;
  mac: string | undefined;
}

function takeAddresses(context: Context, tx: Tx, { network, asked }: Place, options: { container: string; mayPool: boolean }): Taken {
  const fixed4 = asked.IPAMConfig?.IPv4Address ?? "";
  const fixed6 = asked.IPAMConfig?.IPv6Address ?? "";
  const fixedMac = asked.MacAddress ?? "";
  if (options.mayPool && network.id === context.bridgeId && fixedMac === "" && !network.config.enableIPv6) {
    const ready = takeReady(context, tx, options.container);
    if (ready !== undefined) return ready;
  }
  const address4 = fixed4 === "" ? context.book.take(network, 4) : context.book.takeFixed(network, fixed4);
  onRollback(tx, () => context.book.free(network.id, address4));
  const address6 = fixed6 === "" ? context.book.take(network, 6) : context.book.takeFixed(network, fixed6);
  onRollback(tx, () => context.book.free(network.id, address6));
  const address = parseAddress(address4 ?? address6 ?? "");
  if (network.driver === "ipvlan") return { hostName: "", address4, address6, mac: undefined };
  const mac = fixedMac !== "" ? formatMac(parseMac(fixedMac)) : address === undefined ? undefined : macOf(address);
  return { hostName: isOnParent(network) ? "" : newHostName(), address4, address6, mac };
}

function takeReady(context: Context, tx: Tx, container: string): Taken | undefined {
  const ready = context.bridgePool.take();
  if (ready === undefined) return undefined;
  const held = heldOf(context, container);
  held.ready = ready;
  onRollback(tx, () => {
    delete held.ready;
    context.bridgePool.giveBack(ready);
  });
  return { hostName: ready.hostName, address4: ready.address4, address6: undefined, mac: ready.mac };
}

/** Docker's events of networks: the network is the actor. */
export function networkEvent(
  tx: Tx,
  action: "connect" | "disconnect" | "create" | "destroy",
  network: { id: string; name: string; driver: string },
  container?: string,
): void {
  const attributes: Record<string, string> = { name: network.name, type: network.driver };
  appendEvent(tx, {
    type: "network",
    action,
    actor: network.id,
    attributes: container === undefined ? attributes : { container, ...attributes },
  });
}
