import { forgetFlows } from "../linux/netlink-conntrack.ts";
import type { Netlink } from "../linux/netlink.ts";
import { addressBytes, parseAddress } from "./addresses.ts";
import type { PortRule } from "./firewall.ts";

const UDP = 17;

/**
 * Forgets the UDP flows that ports which were opened or closed concern: senders that never pause would else go on reaching what was there before.
 */
export function forgetPortFlows(socket: Netlink, change: { add?: PortRule[]; remove?: PortRule[] }): void {
  for (const { hostPort, protocol, address } of change.add ?? []) {
    if (protocol === "udp") forgetFlows(socket, { family: address.includes(":") ? 6 : 4, protocol: UDP, toPort: hostPort });
  }
  const gone = new Set((change.remove ?? []).filter(({ protocol }) => protocol === "udp").map(({ address }) => address));
  for (const text of gone) {
    const address = parseAddress(text);
    if (address !== undefined) forgetFlows(socket, { family: address.family, protocol: UDP, answeredBy: addressBytes(address) });
  }
}
