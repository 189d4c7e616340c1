import { type Context, mtuOf } from "./context.ts";
import { parseSubnet } from "./addresses.ts";
import { OPTION, gatewayMode, isOn } from "./bridge-options.ts";
import type { NetworkRow } from "./rows.ts";

/** Makes a network's bridge device, or brings the one that is there into shape. */
export async function makeBridge(context: Context, network: NetworkRow): Promise<{ adopted: boolean }> {
  const { options, ipam } = network.config;
  const addresses = ipam.config.flatMap(({ subnet, gateway }) => {
    const { family, length } = parseSubnet(subnet);
    const without =
      gatewayMode(options, family) === "isolated" || (family === 4 && OPTION.inhibit4 in options && isOn(options, OPTION.inhibit4));
    return gateway === undefined || without ? [] : [`${gateway}/${length}`];
  });
  // Neighbours are asked for from a link-local address when the packet is somebody else's (RFC 4861, 7.2.2).
  if (network.config.enableIPv6) addresses.push("fe80::1/64");
  const made = await context.kernel.do("bridge", { name: network.bridge ?? "", mtu: mtuOf(context, network), addresses });
  if (made.outsiders.length > 0)
    context.log.warn("bridge {bridge} carries {links}, too: all that comes from it, containers included, is from outside to the firewall", {
      bridge: network.bridge,
      links: made.outsiders.join(", "),
    });
  return made;
}
