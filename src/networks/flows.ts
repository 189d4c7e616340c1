import { forgetFlows } from "../linux/netlink-conntrack.ts";
import type { Netlink } from "../linux/netlink.ts";
import { addressBytes, parseAddress } from "./addresses.ts";
import type { PortRule } from "./firewall.ts";

const UDP = 17;

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
