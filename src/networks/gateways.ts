import { parseSubnet } from "./addresses.ts";
import type { EndpointRow, NetworkRow } from "./rows.ts";

/** The gateway's address in a network, per family. */
export function gatewayOf(network: NetworkRow, family: 4 | 6): string | undefined {
  return network.config.ipam.config.find((config) => parseSubnet(config.subnet).family === family)?.gateway;
}

/** The gateways that an endpoint's default routes go through. */
export function gatewaysOf(network: NetworkRow, endpoint: EndpointRow): string[] {
  return ([4, 6] as const).flatMap((family) => {
    const gateway = gatewayOf(network, family);
    return gateway !== undefined && (family === 4 ? endpoint.address4 : endpoint.address6) !== undefined ? [gateway] : [];
  });
}
