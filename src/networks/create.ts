import { now } from "../base/clock.ts";
import { LighterError, kindOf } from "../base/errors.ts";
import { newId, shortId } from "../base/ids.ts";
import { type Subnet, contains, formatAddress, formatSubnet, overlaps, parseAddress, parseSubnet } from "./addresses.ts";
import { makeBridge } from "./bridge.ts";
import { type Context, OPTION, changeRules } from "./context.ts";
import { enableForwarding } from "./forwarding.ts";
import { foreignDropWarning } from "./foreign.ts";
import { isPredefined } from "./inspect.ts";
import type { Survey } from "./jobs.ts";
import type { NetworkCreateOptions } from "./networks.ts";
import { checkParent, isOnParent, tryParent } from "./parent.ts";
import { removeNetwork } from "./remove.ts";
import { networkEvent } from "./reserve.ts";
import { type NetworkConfig, type NetworkRow, allNetworks, insertNetwork, networkByName } from "./rows.ts";
import { chooseSubnet, localSubnet6, takenSubnets } from "./subnets.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Makes a network: its row, then its bridge and rules; the row goes again when the kernel refuses. */
export async function create(context: Context, options: NetworkCreateOptions): Promise<{ id: string; warning: string }> {
  checkOptions(context, options);
  const id = newId();
  const survey = await context.kernel.do("survey", undefined);
  const driver = isOnParent(options) ? options.driver : "bridge";
  const bridge = driver === "bridge" ? bridgeName(options, id, survey) : undefined;
  const network: NetworkRow = { id, name: options.name, driver, created: now(), bridge, config: { ...plainConfig(options) } };
  checkParent(network, survey, allNetworks(context.state));
  context.state.write(
    (tx) => {
      if (networkByName(tx, options.name) !== undefined) throw nameTaken(options.name);
      network.config.ipam.config = subnetsOf(context, options, id, takenSubnets(survey, allNetworks(tx)), allNetworks(tx));
      insertNetwork(tx, network);
      networkEvent(tx, "create", network);
    },
    { durable: true },
  );
  try {
    await makeLinks(context, network, survey);
  } catch (error) {
    await removeNetwork(context, network);
    throw error;
  }
  if (bridge === undefined) return { id, warning: "" };
  const drops = await context.kernel.do("foreignDrops", context.options.table);
  return { id, warning: drops.map((drop) => foreignDropWarning(drop, bridge)).join("; ") };
}

function bridgeName(options: NetworkCreateOptions, id: string, survey: Survey): string {
  const bridge = options.options[OPTION.name] ?? `br-${shortId(id)}`;
  if (bridge.length > 15 || !/^[^\s/:]+$/.test(bridge))
    throw new LighterError("invalid", `invalid bridge name "${bridge}": at most 15 characters without space, "/" and ":"`);
  if (survey.links.some(({ name }) => name === bridge))
    throw new LighterError("conflict", `bridge name "${bridge}" is in use by another link of the host`);
  return bridge;
}

async function makeLinks(context: Context, network: NetworkRow, survey: Survey): Promise<void> {
  if (network.bridge === undefined) return tryParent(context, network, survey);
  await makeBridge(context, network);
  if (network.config.enableIPv6) enableForwarding(context, 6);
  await changeRules(context, { add: network });
}

function checkOptions(context: Context, { name, driver, ipam }: NetworkCreateOptions): void {
  if (!NAME.test(name)) throw new LighterError("invalid", `invalid network name "${name}": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed`);
  if (isPredefined(name) || name === "default")
    throw new LighterError("forbidden", `operation is not permitted on predefined ${name} network`);
  if (driver === "host" || driver === "null") throw new LighterError("forbidden", `only one instance of "${driver}" network is allowed`);
  if (driver === "overlay")
    throw new LighterError("unsupported", `Cannot create network "${name}": this Lighter has no driver "${driver}", use "bridge"`);
  if (!["", "default", "bridge"].includes(driver) && !isOnParent({ driver }))
    throw new LighterError("not-found", `could not find plugin ${driver} in v1 plugin registry: plugin not found`);
  if (ipam.driver !== undefined && ipam.driver !== "" && ipam.driver !== "default")
    throw new LighterError("not-found", `could not find plugin ${ipam.driver} in v1 plugin registry: plugin not found`);
  if (networkByName(context.state, name) !== undefined) throw nameTaken(name);
}

function nameTaken(name: string): LighterError {
  return new LighterError("conflict", `network with name ${name} already exists`);
}

function plainConfig(options: NetworkCreateOptions): NetworkConfig {
  return {
    v: 1,
    internal: options.internal,
    attachable: options.attachable,
    enableIPv4: options.enableIPv4,
    enableIPv6: options.enableIPv6,
    ipam: { driver: "default", options: options.ipam.options ?? null, config: [] },
    options: options.options,
    labels: options.labels,
  };
}

type IpamConfig = NetworkConfig["ipam"]["config"];

function subnetsOf(context: Context, options: NetworkCreateOptions, id: string, taken: Subnet[], networks: NetworkRow[]): IpamConfig {
  const given = (options.ipam.config ?? []).filter(({ subnet }) => (subnet ?? "") !== "");
  const found: IpamConfig = given.map((config) => checkedSubnet(config, networks));
  const has = (family: 4 | 6): boolean => found.some(({ subnet }) => parseSubnet(subnet).family === family);
  if (options.enableIPv4 && !has(4)) found.unshift(withGateway(formatSubnet(chooseSubnet(context.options.addressPools, taken))));
  if (options.enableIPv6 && !has(6)) found.push(withGateway(localSubnet6(id)));
  if (found.length === 0) throw new LighterError("invalid", "IPv4 or IPv6 must be enabled");
  return found.filter(({ subnet }) => (parseSubnet(subnet).family === 4 ? options.enableIPv4 : options.enableIPv6));
}

/** A subnet somebody gave may overlap routes of the host (they asked for it), never one of our own networks. */
function checkedSubnet(config: NonNullable<NetworkCreateOptions["ipam"]["config"]>[number], networks: NetworkRow[]): IpamConfig[number] {
  let subnet: Subnet;
  try {
    subnet = parseSubnet(config.subnet ?? "");
  } catch (cause) {
    if (kindOf(cause) !== "invalid") throw cause;
    throw new LighterError("invalid", `invalid subnet ${config.subnet}: ${(cause as Error).message}`, { cause });
  }
  const own = networks.flatMap((network) => network.config.ipam.config.map((other) => parseSubnet(other.subnet)));
  if (own.some((other) => overlaps(other, subnet)))
    throw new LighterError("forbidden", "invalid pool request: Pool overlaps with other one on this address space");
  const inside = (what: string, text: string): string => {
    const address = parseAddress(text.split("/")[0] ?? "");
    if (address === undefined || !contains(subnet, address))
      throw new LighterError("invalid", `invalid ${what} ${text}: parent subnet is ${config.subnet}`);
    return formatAddress(address);
  };
  const base = withGateway(formatSubnet(subnet));
  if ((config.gateway ?? "") !== "") base.gateway = inside("gateway", config.gateway ?? "");
  if ((config.ipRange ?? "") !== "") {
    inside("ip-range", config.ipRange ?? "");
    base.ipRange = formatSubnet(parseSubnet(config.ipRange ?? ""));
  }
  if (config.auxAddresses !== undefined && Object.keys(config.auxAddresses).length > 0)
    base.auxAddresses = Object.fromEntries(
      Object.entries(config.auxAddresses).map(([name, text]) => [name, inside("auxiliary address", text)]),
    );
  return base;
}

function withGateway(subnet: string): IpamConfig[number] {
  const { family, base } = parseSubnet(subnet);
  return { subnet, gateway: formatAddress({ family, value: base + 1n }) };
}
