import type { Reader } from "../state/state.ts";
import type { Binding } from "./bindings.ts";
import { OPTION, gatewayMode } from "./bridge-options.ts";
import type { PortRule, Reach } from "./firewall.ts";
import { type DirectPort, type EndpointRow, endpointsOf } from "./rows.ts";

type Wish = Pick<Binding, "protocol" | "containerPort" | "hostAddress">;

const WILDCARD = { 4: "0.0.0.0", 6: "::" } as const;

/** The families of a network whose containers are reached at their own addresses (`gateway_mode=routed`): nothing is translated, no host port is taken. */
export function routedFamilies(options: Record<string, string>): (4 | 6)[] {
  return ([4, 6] as const).filter((family) => gatewayMode(options, family) === "routed");
}

/** What of a container's wishes is to be opened at its own address: those for every address of the family, be it said or what the network has by default. */
export function directPorts(options: Record<string, string>, bindings: readonly Wish[]): DirectPort[] {
  const routed = routedFamilies(options);
  const byDefault = options[OPTION.hostBinding] ?? WILDCARD[4];
  return bindings.flatMap(({ protocol, containerPort, hostAddress }) => {
    const asked = hostAddress || (byDefault === WILDCARD[4] ? "" : byDefault);
    const families = routed.filter((family) => asked === "" || asked === WILDCARD[family]);
    return families.length === 0 ? [] : [{ protocol, port: containerPort, families }];
  });
}

/** What is to be opened at the own address of a running container whose way out moves into a network: what it has open at every address by host ports, or had at its own in `places`. */
export function movedPorts(options: Record<string, string>, ports: readonly Wish[], places: readonly EndpointRow[]): DirectPort[] {
  const had = places.flatMap(({ config: { direct = [] } }) =>
    direct.flatMap(({ protocol, port, families }) =>
      families.map((family) => ({ protocol, containerPort: port, hostAddress: WILDCARD[family] })),
    ),
  );
  return directPorts(options, [...ports, ...had]);
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
