import { type Context, mtuOf } from "./context.ts";
import { parseSubnet } from "./addresses.ts";
import type { NetworkRow } from "./rows.ts";

/** Makes a network's bridge device, or brings the one that is there into shape. */
export async function makeBridge(context: Context, network: NetworkRow): Promise<{ adopted: boolean }> {
  const addresses = network.config.ipam.config.flatMap(({ subnet, gateway }) =>
    gateway === undefined ? [] : [`${gateway}/${parseSubnet(subnet).length}`],
  );
  // Neighbours are asked for from a link-local address when the packet is somebody else's (RFC 4861, 7.2.2).
  if (network.config.enableIPv6) addresses.push("fe80::1/64");
  return context.kernel.do("bridge", { name: network.bridge ?? "", mtu: mtuOf(context, network), addresses });
}
