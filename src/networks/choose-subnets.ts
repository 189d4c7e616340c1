import { LighterError, kindOf } from "../base/errors.ts";
import { type Subnet, contains, formatAddress, formatSubnet, overlaps, parseAddress, parseSubnet, width } from "./addresses.ts";
import type { NetworkCreateOptions } from "./networks.ts";
import type { AddressPool } from "./pools.ts";
import type { NetworkConfig, NetworkRow } from "./rows.ts";
import { chooseSubnet, localSubnet6 } from "./subnets.ts";

type IpamConfig = NetworkConfig["ipam"]["config"];
type Asked = NonNullable<NetworkCreateOptions["ipam"]["config"]>[number];

/** Room for a gateway and one container: a family's longest prefix of a subnet. */
const LONGEST = { 4: 30, 6: 126 } as const;

/**
 * The subnets of a new network: what was given, checked, and one out of the pools for each family that is wanted and was given none.
 * @param taken what a subnet of the pools may not overlap
 * @throws `invalid` for what cannot be, `forbidden` with Docker's text for what overlaps another network, `conflict` when the pools are empty
 */
export function chooseSubnets(
  options: NetworkCreateOptions,
  { id, pools, taken, networks }: { id: string; pools: readonly AddressPool[]; taken: Subnet[]; networks: readonly NetworkRow[] },
): IpamConfig {
  const given = (options.ipam.config ?? []).filter(({ subnet }) => (subnet ?? "") !== "");
  const others = networks
    .filter(({ config }) => config.configOnly !== true)
    .flatMap((network) => network.config.ipam.config.map((other) => parseSubnet(other.subnet)));
  const found: IpamConfig = [];
  for (const config of given) {
    const checked = checkedSubnet(config, others);
    found.push(checked);
    others.push(parseSubnet(checked.subnet));
  }
  const has = (family: 4 | 6): boolean => found.some(({ subnet }) => parseSubnet(subnet).family === family);
  if (options.enableIPv4 && !has(4)) found.unshift(withGateway(formatSubnet(chooseSubnet(pools, [...taken, ...others]))));
  if (options.enableIPv6 && !has(6)) found.push(withGateway(automatic6(id, pools, [...taken, ...others])));
  if (!options.enableIPv4 && !options.enableIPv6) throw new LighterError("invalid", "IPv4 or IPv6 must be enabled");
  return found.filter(({ subnet }) => (parseSubnet(subnet).family === 4 ? options.enableIPv4 : options.enableIPv6));
}

/** Out of the pools where they have IPv6, else one of the network's own. */
function automatic6(id: string, pools: readonly AddressPool[], taken: readonly Subnet[]): string {
  if (!pools.some(({ base }) => parseSubnet(base).family === 6)) return localSubnet6(id);
  return formatSubnet(chooseSubnet(pools, taken, 6));
}

/** A subnet somebody gave may overlap routes of the host (they asked for it), never one of our own networks. */
function checkedSubnet(config: Asked, others: readonly Subnet[]): IpamConfig[number] {
  const subnet = parsedSubnet(config.subnet ?? "");
  if (others.some((other) => overlaps(other, subnet)))
    throw new LighterError("forbidden", "invalid pool request: Pool overlaps with other one on this address space");
  const checked = withGateway(formatSubnet(subnet));
  if ((config.gateway ?? "") !== "") checked.gateway = inside(subnet, "gateway", config.gateway ?? "");
  if ((config.ipRange ?? "") !== "") checked.ipRange = rangeInside(subnet, config.ipRange ?? "");
  const aux = Object.entries(config.auxAddresses ?? {}).map(([name, text]) => [name, inside(subnet, "auxiliary address", text)] as const);
  const twice = aux.find(([, address], index) => address === checked.gateway || aux.slice(0, index).some(([, other]) => other === address));
  if (twice !== undefined)
    throw new LighterError("forbidden", `failed to allocate secondary ip address (${twice[0]}:${twice[1]}): Address already in use`);
  if (aux.length > 0) checked.auxAddresses = Object.fromEntries(aux);
  return checked;
}

function parsedSubnet(text: string): Subnet {
  let subnet: Subnet;
  try {
    subnet = parseSubnet(text);
  } catch (cause) {
    if (kindOf(cause) !== "invalid") throw cause;
    throw new LighterError("invalid", `invalid subnet ${text}: ${(cause as Error).message}`, { cause });
  }
  if (parseAddress(text.split("/")[0] ?? "")?.value !== subnet.base)
    throw new LighterError("invalid", `invalid network config:\ninvalid subnet ${text}: it should be ${formatSubnet(subnet)}`);
  if (subnet.length > LONGEST[subnet.family])
    throw new LighterError(
      "invalid",
      `invalid subnet ${text}: it has no room for a gateway and a container, give at least a /${LONGEST[subnet.family]}`,
    );
  if (subnet.length === 0) throw new LighterError("invalid", `invalid subnet ${text}: a network cannot have all addresses there are`);
  return subnet;
}

function inside(subnet: Subnet, what: string, text: string): string {
  const address = parseAddress(text.split("/")[0] ?? "");
  if (address === undefined || !contains(subnet, address))
    throw new LighterError("invalid", `invalid ${what} ${text}: parent subnet is ${formatSubnet(subnet)}`);
  const last = subnet.base + (1n << BigInt(width(subnet.family) - subnet.length)) - 1n;
  if (address.value === subnet.base || (subnet.family === 4 && address.value === last))
    throw new LighterError(
      "invalid",
      `invalid ${what} ${text}: it is the ${address.value === last ? "broadcast" : "network"} address of ${formatSubnet(subnet)}`,
    );
  return formatAddress(address);
}

function rangeInside(subnet: Subnet, text: string): string {
  let range: Subnet;
  try {
    range = parseSubnet(text);
  } catch (cause) {
    throw new LighterError("invalid", `invalid ip-range ${text}: ${(cause as Error).message}`, { cause });
  }
  if (!overlaps(subnet, range) || range.length < subnet.length)
    throw new LighterError("invalid", `invalid ip-range ${text}: parent subnet is ${formatSubnet(subnet)}`);
  return formatSubnet(range);
}

function withGateway(subnet: string): IpamConfig[number] {
  const { family, base } = parseSubnet(subnet);
  return { subnet, gateway: formatAddress({ family, value: base + 1n }) };
}

/** What to tell of a subnet that covers something the host reaches elsewhere; undefined where it does not. */
export function routeWarning(subnets: IpamConfig, taken: readonly { subnet: string; link: string }[], bridge: string): string | undefined {
  for (const { subnet } of subnets) {
    const rival = taken.find(
      (other) => other.link !== bridge && !other.subnet.endsWith("/0") && overlaps(parseSubnet(other.subnet), parseSubnet(subnet)),
    );
    if (rival !== undefined)
      return `subnet ${subnet} overlaps ${rival.subnet}, which the host reaches by ${rival.link}: what is there cannot be reached any more where the two meet; remove the network and give another --subnet if that is not wanted`;
  }
  return undefined;
}
