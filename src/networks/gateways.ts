import { parseSubnet } from "./addresses.ts";
import type { EndpointRow, NetworkRow } from "./rows.ts";

/** The gateway's address in a network, per family. */
export function gatewayOf(network: NetworkRow, family: 4 | 6): string | undefined {
  return network.config.ipam.config.find((config) => parseSubnet(config.subnet).family === family)?.gateway;
}

/** Docker's names of auxiliary addresses that are the way out in the place of the bridge's own address. */
export const ROUTE_ADDRESS = { 4: "DefaultGatewayIPv4", 6: "DefaultGatewayIPv6" } as const;

/** Whether packets of a subnet to elsewhere go past this host. */
export function hasOwnRoute({ auxAddresses = {} }: { auxAddresses?: Record<string, string> }): boolean {
  return Object.values(ROUTE_ADDRESS).some((name) => auxAddresses[name] !== undefined);
}

/** Where a network's containers send what goes elsewhere: mostly to its gateway, which is the bridge. */
export function routeOf(network: NetworkRow, family: 4 | 6): string | undefined {
  const config = network.config.ipam.config.find(({ subnet }) => parseSubnet(subnet).family === family);
  return config?.auxAddresses?.[ROUTE_ADDRESS[family]] ?? config?.gateway;
}

/** The gateways that an endpoint's default routes go through. */
export function gatewaysOf(network: NetworkRow, endpoint: EndpointRow): string[] {
  return ([4, 6] as const).flatMap((family) => {
    const gateway = routeOf(network, family);
    return gateway !== undefined && (family === 4 ? endpoint.address4 : endpoint.address6) !== undefined ? [gateway] : [];
  });
}
