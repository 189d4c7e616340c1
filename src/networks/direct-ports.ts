import type { Reader } from "../state/state.ts";
import type { Binding } from "./bindings.ts";
import { gatewayMode } from "./bridge-options.ts";
import type { PortRule, Reach } from "./firewall.ts";
import { type DirectPort, type EndpointRow, endpointsOf } from "./rows.ts";

const WILDCARD = { 4: "0.0.0.0", 6: "::" } as const;

/** The families of a network whose containers are reached at their own addresses (`gateway_mode=routed`): nothing is translated, no host port is taken. */
export function routedFamilies(options: Record<string, string>): (4 | 6)[] {
  return ([4, 6] as const).filter((family) => gatewayMode(options, family) === "routed");
}

/** What of a container's wishes is to be opened at its own address: those for every address of the family. */
export function directPorts(options: Record<string, string>, bindings: readonly Binding[]): DirectPort[] {
  const routed = routedFamilies(options);
  return bindings.flatMap(({ protocol, containerPort, hostAddress }) => {
    const families = routed.filter((family) => hostAddress === "" || hostAddress === WILDCARD[family]);
    return families.length === 0 ? [] : [{ protocol, port: containerPort, families }];
  });
}

/** The rules of an endpoint's own open ports, while the container's way out is there. */
export function directRules(endpoint: EndpointRow, reachOf: (network: string) => Reach | undefined = () => undefined): PortRule[] {
  const { config, address4, address6 } = endpoint;
  const open = config.direct ?? [];
  if (open.length === 0 || !config.gateway || config.state !== "active") return [];
  const reach = reachOf(endpoint.network);
  const rules = open.flatMap(({ protocol, port, families }) =>
    families.flatMap((family): PortRule[] => {
      const address = family === 4 ? address4 : address6;
      if (address === undefined) return [];
      return [{ protocol, hostAddress: address, hostPort: port, address, port, direct: true, ...(reach && { reach }) }];
    }),
  );
  return [...new Map(rules.map((rule) => [`${rule.protocol} ${rule.address} ${rule.port}`, rule])).values()];
}

/** Whether a container has ports that are open at its own address. */
export function hasDirect(reader: Reader, container: string): boolean {
  return endpointsOf(reader, container).some((endpoint) => directRules(endpoint).length > 0);
}
