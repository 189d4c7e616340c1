import { messageOf } from "../base/errors.ts";
import { EGRESS_LABEL } from "../wire/labels.ts";
import type { Reader } from "../state/state.ts";
import { parseAddress, parseSubnet } from "./addresses.ts";
import { type EgressPorts, type EgressRule, namesMatch, parseEgress, portsKey } from "./egress-rules.ts";
import type { LimitedPlace } from "./egress-state.ts";
import { gatewayOf } from "./gateways.ts";
import { HOST_NAMES } from "./names.ts";
import { type EndpointRow, type NetworkRow, networkById } from "./rows.ts";

/** An option of networks, as clients with options (`-o egress=...`) may give it beside the label. */
export const EGRESS_OPTION = "egress";
/** What limits the containers of a network that say nothing themselves. */
export function egressOfNetwork({ config }: { config: Pick<NetworkRow["config"], "labels" | "options"> }): string | undefined {
  return config.labels[EGRESS_LABEL] ?? config.options[EGRESS_OPTION] ?? config.options[EGRESS_LABEL];
}

/** The rules of an endpoint: the container's own, else its network's; undefined for no limit. */
export function egressOf(network: NetworkRow, endpoint: Pick<EndpointRow, "config">): EgressRule[] | undefined {
  return parseEgress(endpoint.config.egress ?? egressOfNetwork(network));
}

/** Whether some way out of a container is limited. */
export function isLimited(reader: Reader, endpoints: readonly EndpointRow[]): boolean {
  return endpoints.some((endpoint) => {
    const network = networkById(reader, endpoint.network);
    return network?.bridge !== undefined && readEgress(network, endpoint).rules !== undefined;
  });
}

/** As {@link egressOf}, for places that are there already: what cannot be understood allows nothing, and `failure` says why. */
export function readEgress(
  network: NetworkRow,
  endpoint: Pick<EndpointRow, "config">,
): { rules: EgressRule[] | undefined; failure?: string } {
  try {
    return { rules: egressOf(network, endpoint) };
  } catch (error) {
    return { rules: [], failure: messageOf(error) };
  }
}

/** An endpoint with its rules, as tables and names see it; `hostGateway` is what the word `host-gateway` of `--add-host` means. */
export function limitedPlace(
  network: NetworkRow,
  endpoint: EndpointRow,
  rules: readonly EgressRule[],
  hostGateway: string | undefined,
): LimitedPlace {
  const names = rules.flatMap((rule) => (rule.name === undefined ? [] : [rule]));
  const subnets = rules.flatMap((rule) => (rule.subnet === undefined ? [] : [rule]));
  return {
    container: endpoint.container,
    hostName: endpoint.hostName,
    addresses: [endpoint.address4, endpoint.address6].filter((address) => address !== undefined),
    near: network.config.ipam.config.map(({ subnet }) => subnet),
    ranges: withoutDouble([...subnets, ...names.flatMap((rule) => fixedRanges(network, endpoint, rule, hostGateway))]),
    named: names.map(portsOf),
    names,
  };
}

function portsOf({ protocol, ports }: EgressPorts): EgressPorts {
  return { ...(protocol && { protocol }), ...(ports && { ports }) };
}

/** Names that no server is asked about: those that mean the host, and what `--add-host` says. */
function fixedRanges(
  network: NetworkRow,
  { config }: EndpointRow,
  { name, ...ports }: EgressPorts & { name: string },
  hostGateway: string | undefined,
): (EgressPorts & { subnet: string })[] {
  const host = HOST_NAMES.includes(name) ? [gatewayOf(network, 4), gatewayOf(network, 6)] : [];
  const given = (config.extraHosts ?? []).flatMap((entry) => {
    const [, known = "", address = ""] = /^([^:=]+)[:=]\[?([^\]]*)\]?$/.exec(entry) ?? [];
    return namesMatch(name, known.toLowerCase()) ? [address === "host-gateway" ? hostGateway : address] : [];
  });
  return [...host, ...given].flatMap((address) => {
    const parsed = parseAddress(address ?? "");
    return parsed === undefined ? [] : [{ ...ports, subnet: `${address}/${parsed.family === 4 ? 32 : 128}` }];
  });
}

/** Of subnets through the same ports those that are in no other one: the kernel takes no ranges that overlap. */
function withoutDouble(ranges: readonly (EgressPorts & { subnet: string })[]): (EgressPorts & { subnet: string })[] {
  const kept: (EgressPorts & { subnet: string })[] = [];
  const byLength = ranges.toSorted((a, b) => parseSubnet(a.subnet).length - parseSubnet(b.subnet).length);
  for (const range of byLength) {
    const { family, base } = parseSubnet(range.subnet);
    const inside = (other: EgressPorts & { subnet: string }): boolean => {
      const outer = parseSubnet(other.subnet);
      const shift = BigInt((family === 4 ? 32 : 128) - outer.length);
      return outer.family === family && outer.base >> shift === base >> shift && portsKey(other) === portsKey(range);
    };
    if (!kept.some(inside)) kept.push(range);
  }
  return kept;
}
