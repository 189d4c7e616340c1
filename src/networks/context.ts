import { randomBytes } from "node:crypto";
import type { Logger } from "@logtape/logtape";
import { messageOf } from "../base/errors.ts";
import type { State, Tx } from "../state/state.ts";
import type { AddressBook } from "./address-book.ts";
import { macOf, parseAddress, parseSubnet } from "./addresses.ts";
import type { FirewallModel, Reach } from "./firewall.ts";
import type { NetworkRules } from "./network-rules.ts";
import { OPTION, gatewayMode, isOn, trustedLinks } from "./bridge-options.ts";
import { directRules, routedFamilies } from "./direct-ports.ts";
import { interfaceSettings, linkLocalAddresses, settingPath } from "./endpoint-options.ts";
import type { EgressState } from "./egress-state.ts";
import { gatewaysOf } from "./gateways.ts";
import type { Wire } from "./jobs.ts";
import type { Kernel } from "./kernel.ts";
import type { Names } from "./names.ts";
import type { NetworksNeeds } from "./needs.ts";
import type { NetworksOptions } from "./networks.ts";
import { isRouted, parentOf } from "./parent.ts";
import type { HeldPort } from "./port-sockets.ts";
import type { KeptPorts } from "./kept-ports.ts";
import { reachOf } from "./reach.ts";
import type { Resolver } from "./resolver.ts";
import type { Pool } from "./pool.ts";
import { type EndpointRow, type NetworkRow, allEndpoints, allNetworks, allPorts, networkById, portRules } from "./rows.ts";

/** A namespace of the default bridge that waits for a container: everything in it is set. */
export interface ReadySandbox {
  fd: number;
  network: string;
  hostName: string;
  address4: string;
  mac: string;
}

/** What the daemon holds for a container between `reserve` and `release`. */
export interface Held {
  /** Taken from the pool by `reserve`, not yet entered. */
  ready?: ReadySandbox;
  /** The namespace's descriptor until the container's init holds it. */
  fd?: number;
  /** Bound sockets that keep the host ports until the keeper has them. */
  sockets: HeldPort[];
}

/** What the files of networks/ share. */
export interface Context {
  state: State;
  needs: NetworksNeeds;
  options: NetworksOptions;
  kernel: Kernel;
  book: AddressBook;
  log: Logger;
  held: Map<string, Held>;
  /** The process that keeps host ports and outlives the daemon, and ports that another program took. */
  keeper: KeptPorts;
  lost: Map<string, string>;
  /** Containers whose ports are open. */
  open: Set<string>;
  /** Of the link that the default route leaves by. */
  mtu: number;
  /** Namespaces of the default bridge, and ones with a loopback only. */
  bridgePool: Pool<ReadySandbox>;
  barePool: Pool<number>;
  /** Links of left namespaces, deleted later if the kernel has not done so by itself. */
  doomed: Set<string>;
  doomedTimer: ReturnType<typeof setTimeout> | undefined;
  /** Names of containers in user networks, and the resolvers that tell them. */
  names: Names;
  resolvers: Map<string, Resolver>;
  /** Limits of containers' ways out. */
  egress: EgressState;
  /** The default bridge network's id, once restored. */
  bridgeId: string;
}

export { OPTION, isOn };

/** What the names of our links begin with. */
export const HOST_NAME_PREFIX = "lv";

/** A new name for the host's end of a wire. */
export function newHostName(): string {
  return `${HOST_NAME_PREFIX}${randomBytes(6).toString("hex")}`;
}

/** The `Held` of a container, made when there is none. */
export function heldOf(context: Context, container: string): Held {
  let held = context.held.get(container);
  if (held === undefined) context.held.set(container, (held = { sockets: [] }));
  return held;
}

/**
 * Calls `undo` when the transaction that `tx` belongs to is rolled back. Transactions are synchronous, so that a microtask queued inside of one
 * runs when its fate is known.
 */
export function onRollback(tx: Tx, undo: () => void): void {
  let committed = false;
  tx.afterCommit(() => (committed = true));
  queueMicrotask(() => {
    if (!committed) undo();
  });
}

/** A network's MTU: its option, else the one of the way out. */
export function mtuOf(context: Context, network: NetworkRow): number {
  const asked = Number(network.config.options[OPTION.mtu]);
  return Number.isInteger(asked) && asked >= 68 ? asked : context.mtu;
}

/** The prefix length of a network's subnet of a family; 0 where it has none. */
export function prefixOf(network: NetworkRow, family: 4 | 6): number {
  const config = network.config.ipam.config.find(({ subnet }) => parseSubnet(subnet).family === family);
  return config === undefined ? 0 : parseSubnet(config.subnet).length;
}

/** The wire of an endpoint as the kernel is to make it. */
export function wireOf(context: Context, network: NetworkRow, endpoint: EndpointRow): Wire {
  const { address4, address6 } = endpoint;
  const addresses = [
    ...(address4 === undefined ? [] : [`${address4}/${prefixOf(network, 4)}`]),
    ...(address6 === undefined ? [] : [`${address6}/${prefixOf(network, 6)}`]),
    ...linkLocalAddresses(endpoint.config.asked),
  ];
  const parent = parentOf(network);
  return {
    bridge: network.bridge ?? "",
    ...(parent === undefined ? {} : { parent }),
    hostName: endpoint.hostName,
    name: endpoint.config.name,
    mac: endpoint.mac ?? macOf(parseAddress(address4 ?? address6 ?? "0.0.0.0") ?? { family: 4, value: 0n }),
    addresses,
    ...waysOut(network, endpoint),
    mtu: parent === undefined || network.config.options[OPTION.mtu] !== undefined ? mtuOf(context, network) : 0,
    isolated: !isOn(network.config.options, OPTION.icc),
    settings: interfaceSettings(endpoint.config.asked).map((setting) => ({
      path: settingPath(setting, endpoint.config.name),
      value: setting.value,
    })),
  };
}

function waysOut(network: NetworkRow, endpoint: EndpointRow): Pick<Wire, "gateways" | "direct"> {
  if (!endpoint.config.gateway || network.config.internal) return { gateways: [] };
  if (!isRouted(network)) return { gateways: gatewaysOf(network, endpoint) };
  return {
    gateways: [],
    direct: [...(endpoint.address4 === undefined ? [] : [4 as const]), ...(endpoint.address6 === undefined ? [] : [6 as const])],
  };
}

/** The table as the rows and the containers with open ports want it. */
export function firewallModel(context: Context): FirewallModel {
  const places = new Map(allEndpoints(context.state).map((endpoint) => [endpoint.id, endpoint]));
  return {
    networks: allNetworks(context.state).flatMap((network) => rulesOf(network)),
    ports: [
      ...portRules(
        allPorts(context.state).filter((port) => context.open.has(port.container)),
        places,
        networkReach(context),
      ),
      ...[...places.values()]
        .filter(({ container }) => context.open.has(container))
        .flatMap((place) => directRules(place, networkReach(context))),
    ],
    reach: context.options.reach ?? "firewall",
  };
}

function rulesOf({ bridge, config }: NetworkRow): NetworkRules[] {
  if (bridge === undefined) return [];
  return [
    {
      bridge,
      subnets: config.ipam.config.map(({ subnet }) => subnet),
      masquerade: isOn(config.options, OPTION.masquerade),
      internal: config.internal,
      icc: isOn(config.options, OPTION.icc),
      open: ([4, 6] as const).filter((family) => gatewayMode(config.options, family) === "nat-unprotected"),
      routed: routedFamilies(config.options),
      trusted: trustedLinks(config.options),
    },
  ];
}

/** The policy for published ports of a network, where it has its own. */
export function networkReach(context: Context): (network: string) => Reach | undefined {
  return (network) => reachOf(networkById(context.state, network)?.config.options ?? {});
}

/** Writes the whole table anew from the rows. */
export async function rewriteTable(context: Context): Promise<void> {
  await context.kernel.do("writeTable", { table: context.options.table, model: firewallModel(context) });
}

/** Adds a network's rules to the table, or takes those of some away; where the table is not as it was left, it is written anew from the rows. */
export async function changeRules(context: Context, change: { add?: NetworkRow; remove?: readonly NetworkRow[] }): Promise<void> {
  const { table } = context.options;
  // Somebody may have removed it while its bridge was made.
  const isThere = change.add !== undefined && networkById(context.state, change.add.id) !== undefined;
  const [add, remove] = [change.add !== undefined && isThere ? rulesOf(change.add) : [], (change.remove ?? []).flatMap(rulesOf)];
  try {
    await context.kernel.do("changeNetworks", { table, add, remove });
  } catch (error) {
    context.log.warn("rewriting table {table}: {error}", { table, error: messageOf(error) });
    await rewriteTable(context);
  }
}

/** How long to wait for links at most, in ms: a machine that is this slow loses a packet and sends it again. */
const UP_PATIENCE = 1000;

/** Resolves when links carry packets: mostly at once, on a busy machine some milliseconds later. */
export async function whenUp(context: Context, links: string[]): Promise<void> {
  const deadline = performance.now() + UP_PATIENCE;
  while (!(await context.kernel.do("areUp", links)) && performance.now() < deadline) await Bun.sleep(1);
}
