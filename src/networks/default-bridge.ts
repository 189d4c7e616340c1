import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import type { Tx } from "../state/state.ts";
import { type Subnet, contains, formatAddress, formatSubnet, overlaps, parseAddress, parseInterface, parseSubnet } from "./addresses.ts";
import { OPTION } from "./bridge-options.ts";
import type { Context } from "./context.ts";
import { recordEffect } from "./effects.ts";
import { ROUTE_ADDRESS } from "./gateways.ts";
import type { Survey } from "./jobs.ts";
import { type NetworkConfig, type NetworkRow, allEndpoints, allNetworks, insertNetwork, networkByName, updateNetwork } from "./rows.ts";
import { chooseSubnet, localSubnet6, takenSubnets } from "./subnets.ts";

type IpamEntry = NetworkConfig["ipam"]["config"][number];

/** A network's configuration before anything is said of it. */
export function emptyConfig(options: Record<string, string>): NetworkConfig {
  return {
    v: 1,
    internal: false,
    attachable: false,
    enableIPv4: true,
    enableIPv6: false,
    ipam: { driver: "default", options: {}, config: [] },
    options,
    labels: {},
  };
}

/**
 * Makes the default bridge's row as the daemon's configuration wants it. It keeps its subnets while nothing else of the host overlaps them, or while containers
 * run in it: new ones wait for a start without any.
 */
export function ensureDefaultBridge(context: Context, tx: Tx, survey: Survey): void {
  const { options } = context;
  const { defaults = {} } = options;
  const found = networkByName(tx, "bridge");
  const id = found?.id ?? newId();
  const inUse = found !== undefined && allEndpoints(tx).some(({ network, config }) => network === id && config.state === "active");
  const bridge = inUse ? (found.bridge ?? options.bridgeName) : options.bridgeName;
  const config = emptyConfig({
    [OPTION.defaultBridge]: "true",
    [OPTION.icc]: String(defaults.icc ?? true),
    [OPTION.masquerade]: String(defaults.masquerade ?? true),
    [OPTION.hostBinding]: defaults.hostAddress ?? "0.0.0.0",
    [OPTION.name]: bridge,
    [OPTION.mtu]: String(defaults.mtu || context.mtu),
  });
  const kept = inUse ? found.config : undefined;
  config.enableIPv6 = kept?.enableIPv6 ?? defaults.ipv6 ?? false;
  config.ipam.config = kept?.ipam.config ?? [
    withRoute(bridgeSubnet(context, tx, survey, found), defaults.gateway4, "default-gateway"),
    ...(config.enableIPv6 ? [withRoute(bridgeSubnet6(context, tx, id), defaults.gateway6, "default-gateway-v6")] : []),
  ];
  if (found === undefined) return insertNetwork(tx, { id, name: "bridge", driver: "bridge", created: now(), bridge, config });
  if (found.bridge !== undefined && found.bridge !== bridge) recordEffect(tx, { kind: "bridge", key: found.bridge, data: {} });
  context.book.forget(id);
  updateNetwork(tx, { ...found, bridge, config: { ...config, labels: found.config.labels } });
}

function bridgeSubnet(context: Context, tx: Tx, survey: Survey, found: NetworkRow | undefined): IpamEntry {
  const { bip, defaults, addressPools, bridgeName } = context.options;
  const given = givenSubnet(tx, { interface: bip, range: defaults?.fixedCidr, key: "bip", rangeKey: "fixed-cidr" });
  if (given !== undefined) return given;
  const others = allNetworks(tx).filter(({ name }) => name !== "bridge");
  const taken = takenSubnets(survey, others, [bridgeName, found?.bridge ?? ""]);
  const kept = found?.config.ipam.config[0];
  if (kept?.gateway !== undefined && !taken.some((other) => overlaps(other, parseSubnet(kept.subnet))))
    return { subnet: kept.subnet, gateway: kept.gateway };
  return withFirst(chooseSubnet(addressPools, taken));
}

/** What was given, else a subnet of unique local addresses that stays the same. */
function bridgeSubnet6({ options: { defaults } }: Context, tx: Tx, id: string): IpamEntry {
  const given = givenSubnet(tx, { interface: defaults?.bip6, range: defaults?.fixedCidr6, key: "bip6", rangeKey: "fixed-cidr-v6" });
  return given ?? withFirst(parseSubnet(localSubnet6(id)));
}

function givenSubnet(
  tx: Tx,
  given: { interface: string | undefined; range: string | undefined; key: string; rangeKey: string },
): IpamEntry | undefined {
  const range = given.range === undefined ? undefined : parseSubnet(given.range);
  const ipRange = range && { ipRange: formatSubnet(range) };
  if (given.interface === undefined) {
    if (range === undefined) return undefined;
    checkFree(tx, range, given.rangeKey);
    return { ...withFirst(range), ...ipRange };
  }
  const { address, subnet } = parseInterface(given.interface);
  checkFree(tx, subnet, given.key);
  if (range !== undefined && (range.length < subnet.length || !overlaps(range, subnet)))
    throw new LighterError(
      "invalid",
      `Cannot use ${given.rangeKey} ${formatSubnet(range)}: it is no part of the default bridge's ${formatSubnet(subnet)}`,
    );
  return { subnet: formatSubnet(subnet), gateway: formatAddress(address), ...ipRange };
}

function withFirst(subnet: Subnet): IpamEntry {
  return { subnet: formatSubnet(subnet), gateway: formatAddress({ family: subnet.family, value: subnet.base + 1n }) };
}

/** Containers are to go out by another address than the bridge's. */
function withRoute(entry: IpamEntry, gateway: string | undefined, key: string): IpamEntry {
  if (gateway === undefined || gateway === entry.gateway) return entry;
  const subnet = parseSubnet(entry.subnet);
  const address = parseAddress(gateway);
  if (address === undefined || !contains(subnet, address))
    throw new LighterError(
      "invalid",
      `Cannot use ${key} ${gateway}: it is not in the default bridge's ${entry.subnet}; give a subnet, too`,
    );
  return { ...entry, auxAddresses: { [ROUTE_ADDRESS[subnet.family]]: formatAddress(address) } };
}

/** Throws `conflict` when another network has addresses of the subnet that the default bridge is to have. */
function checkFree(tx: Tx, wanted: Subnet, key: string): void {
  const others = allNetworks(tx).filter(({ name, config }) => name !== "bridge" && config.configOnly !== true);
  for (const { name, config } of others) {
    const rival = config.ipam.config.find(({ subnet }) => overlaps(parseSubnet(subnet), wanted));
    if (rival === undefined) continue;
    const sentence = `Cannot give the default bridge ${formatSubnet(wanted)} (${key}): network "${name}" has ${rival.subnet}`;
    throw new LighterError("conflict", `${sentence}: give another ${key}, or start without it and remove that network first`);
  }
}
