import { type FlowTarget, forgetFlows } from "../linux/netlink-conntrack.ts";
import type { Netlink } from "../linux/netlink.ts";
import { addressBytes, addressOfBytes, contains, formatAddress, parseAddress, parseSubnet } from "./addresses.ts";
import type { EgressPorts } from "./egress-rules.ts";
import type { EgressAddress, EgressPlace } from "./egress-table.ts";
import { type PortRule, PROTOCOL } from "./firewall.ts";

const UDP = 17;
const ICMP = [1, 58];

/**
 * Forgets the UDP flows that ports which were opened or closed concern: senders that never pause would else go on reaching what was there before.
 */
export function forgetPortFlows(socket: Netlink, change: { add?: PortRule[]; remove?: PortRule[] }): void {
  const opened = (change.add ?? []).filter(({ protocol }) => protocol === "udp");
  for (const family of [4, 6] as const) {
    const ports = opened.filter(({ address }) => address.includes(":") === (family === 6)).map(({ hostPort }) => hostPort);
    if (ports.length > 0) forgetFlows(socket, { family, protocol: UDP, toPorts: new Set(ports) });
  }
  const gone = new Set((change.remove ?? []).filter(({ protocol }) => protocol === "udp").map(({ address }) => address));
  for (const text of gone) {
    const address = parseAddress(text);
    if (address !== undefined) forgetFlows(socket, { family: address.family, protocol: UDP, answeredBy: addressBytes(address) });
  }
}

/** Forgets what addresses began: whoever has one now is not to go on with what was allowed to the last. */
export function forgetBegun(socket: Netlink, addresses: readonly string[]): void {
  for (const text of addresses) {
    const address = parseAddress(text);
    if (address !== undefined) forgetFlows(socket, { family: address.family, begunBy: addressBytes(address) });
  }
}

/** What a limited place may reach now. */
export interface Ways extends Pick<EgressPlace, "addresses" | "near" | "ranges"> {
  /** Addresses of names that are allowed. */
  named: Pick<EgressAddress, "address" | "protocol" | "ports">[];
}

/** Ends what limited places have open to where they may not go any more: the next packet is judged as a new one. */
export function cutWays(socket: Netlink, places: readonly Ways[]): void {
  for (const place of places) {
    for (const text of place.addresses) {
      const address = parseAddress(text);
      if (address === undefined) continue;
      const unless = (target: FlowTarget): boolean => mayReach(place, target);
      forgetFlows(socket, { family: address.family, begunBy: addressBytes(address), unless });
    }
  }
}

function mayReach({ near, ranges, named }: Ways, target: FlowTarget): boolean {
  const address = addressOfBytes(target.address);
  const inside = (subnet: string): boolean => contains(parseSubnet(subnet), address);
  return (
    near.some(inside) ||
    ranges.some(({ subnet, ...through }) => leadsThrough(through, target) && inside(subnet)) ||
    named.some((one) => leadsThrough(one, target) && one.address === formatAddress(address))
  );
}

function leadsThrough({ protocol, ports }: EgressPorts, target: FlowTarget): boolean {
  if (protocol === undefined) return true;
  if (protocol === "icmp") return ICMP.includes(target.protocol);
  return PROTOCOL[protocol] === target.protocol && (ports === undefined || (target.port >= ports[0] && target.port <= ports[1]));
}
