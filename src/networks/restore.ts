import { now } from "../base/clock.ts";
import { LighterError, messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import type { Tx } from "../state/state.ts";
import { type Subnet, formatAddress, formatSubnet, overlaps, parseInterface, parseSubnet } from "./addresses.ts";
import { makeBridge } from "./bridge.ts";
import { type Context, HOST_NAME_PREFIX, rewriteTable } from "./context.ts";
import { OPTION, isOn } from "./bridge-options.ts";
import { restoreEgress } from "./egress.ts";
import { forgetEffect, recordEffect, effectsOf } from "./effects.ts";
import { enableForwarding } from "./forwarding.ts";
import type { Survey } from "./jobs.ts";
import { release } from "./leave.ts";
import { makeParent, sweepParents } from "./parent.ts";
import { openResolver, wantsResolver } from "./resolve.ts";
import { rewire } from "./rewire.ts";
import {
  type EndpointRow,
  type NetworkConfig,
  type NetworkRow,
  allEndpoints,
  allNetworks,
  allPorts,
  endpointsOf,
  insertNetwork,
  networkByName,
  updateNetwork,
} from "./rows.ts";
import { chooseSubnet, egressMtu, takenSubnets } from "./subnets.ts";

/** Brings rows and kernel together at the daemon's start; what belongs to running containers is never interrupted. */
export async function restore(context: Context, running: { containerId: string; pid: number }[]): Promise<void> {
  const survey = await context.kernel.do("survey", undefined);
  context.mtu = egressMtu(survey);
  const alive = new Set(running.map(({ containerId }) => containerId));
  const dead = allEndpoints(context.state).filter(({ container }) => !alive.has(container));
  context.state.write(
    (tx) => {
      for (const container of new Set(dead.map((endpoint) => endpoint.container))) release(context, tx, container);
      ensureSpecials(tx);
      ensureDefaultBridge(context, tx, survey);
    },
    { durable: true },
  );
  const bridge = networkByName(context.state, "bridge");
  context.bridgeId = bridge?.id ?? "";
  await sweepBridges(context);
  await sweepLinks(context, survey, dead);
  await sweepParents(context);
  for (const network of allNetworks(context.state)) await restoreLinks(context, network, survey);
  await context.keeper.adopt();
  context.open = new Set(allPorts(context.state).map(({ container }) => container));
  enableForwarding(context, 4);
  if (allNetworks(context.state).some(({ config }) => config.enableIPv6)) enableForwarding(context, 6);
  await writeFirstTable(context);
  await restoreEgress(context);
  await reopenResolvers(context, running);
  await rewire(context, running, survey);
  context.bridgePool.fill();
  context.barePool.fill();
}

function ensureSpecials(tx: Tx): void {
  for (const [name, driver] of [
    ["host", "host"],
    ["none", "null"],
  ] as const) {
    if (networkByName(tx, name) !== undefined) continue;
    const config = emptyConfig({});
    insertNetwork(tx, { id: newId(), name, driver, created: now(), bridge: undefined, config });
  }
}

function emptyConfig(options: Record<string, string>): NetworkConfig {
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

/** The default bridge keeps its subnet while nothing else of the host overlaps it, or while containers run in it. */
function ensureDefaultBridge(context: Context, tx: Tx, survey: Survey): void {
  const { options } = context;
  const { defaults = {} } = options;
  const found = networkByName(tx, "bridge");
  const inUse = found !== undefined && allEndpoints(tx).some(({ network, config }) => network === found.id && config.state === "active");
  const bridge = inUse ? (found.bridge ?? options.bridgeName) : options.bridgeName;
  const config = emptyConfig({
    [OPTION.defaultBridge]: "true",
    [OPTION.icc]: String(defaults.icc ?? true),
    [OPTION.masquerade]: String(defaults.masquerade ?? true),
    [OPTION.hostBinding]: defaults.hostAddress ?? "0.0.0.0",
    [OPTION.name]: bridge,
    [OPTION.mtu]: String(defaults.mtu || context.mtu),
  });
  config.ipam.config = [
    inUse ? (found.config.ipam.config[0] ?? bridgeSubnet(context, tx, survey)) : bridgeSubnet(context, tx, survey, found),
  ];
  if (found === undefined) return insertNetwork(tx, { id: newId(), name: "bridge", driver: "bridge", created: now(), bridge, config });
  if (found.bridge !== undefined && found.bridge !== bridge) recordEffect(tx, { kind: "bridge", key: found.bridge, data: {} });
  context.book.forget(found.id);
  updateNetwork(tx, { ...found, bridge, config: { ...config, labels: found.config.labels } });
}

function bridgeSubnet(context: Context, tx: Tx, survey: Survey, found?: NetworkRow): NetworkConfig["ipam"]["config"][number] {
  const { bip, defaults } = context.options;
  const range = defaults?.fixedCidr === undefined ? undefined : parseSubnet(defaults.fixedCidr);
  if (bip !== undefined) {
    const { address, subnet } = parseInterface(bip);
    checkBip(tx, subnet);
    if (range !== undefined && (range.length < subnet.length || !overlaps(range, subnet)))
      throw new LighterError(
        "invalid",
        `Cannot use fixed-cidr ${formatSubnet(range)}: it is no part of the default bridge's ${formatSubnet(subnet)}`,
      );
    return { subnet: formatSubnet(subnet), gateway: formatAddress(address), ...(range && { ipRange: formatSubnet(range) }) };
  }
  if (range !== undefined) {
    checkBip(tx, range);
    const gateway = formatAddress({ family: range.family, value: range.base + 1n });
    return { subnet: formatSubnet(range), gateway, ipRange: formatSubnet(range) };
  }
  const others = allNetworks(tx).filter(({ name }) => name !== "bridge");
  const taken = takenSubnets(survey, others, [context.options.bridgeName, found?.bridge ?? ""]);
  const kept = found?.config.ipam.config[0];
  if (kept?.gateway !== undefined && !taken.some((other) => overlaps(other, parseSubnet(kept.subnet))))
    return { subnet: kept.subnet, gateway: kept.gateway };
  const subnet = chooseSubnet(context.options.addressPools, taken);
  return { subnet: formatSubnet(subnet), gateway: formatAddress({ family: subnet.family, value: subnet.base + 1n }) };
}

/** Throws `conflict` when another network has addresses of the subnet that the default bridge is to have. */
function checkBip(tx: Tx, bip: Subnet): void {
  const others = allNetworks(tx).filter(({ name, config }) => name !== "bridge" && config.configOnly !== true);
  for (const { name, config } of others) {
    const rival = config.ipam.config.find(({ subnet }) => overlaps(parseSubnet(subnet), bip));
    if (rival === undefined) continue;
    const sentence = `Cannot give the default bridge ${formatSubnet(bip)} (bip): network "${name}" has ${rival.subnet}`;
    throw new LighterError("conflict", `${sentence}: give another bip, or start without it and remove that network first`);
  }
}

/** Deletes bridges whose network is gone: a removal that a crash cut short. */
async function sweepBridges(context: Context): Promise<void> {
  const used = new Set(allNetworks(context.state).map(({ bridge }) => bridge));
  const stale = effectsOf(context.state, "bridge").filter(({ key }) => !used.has(key));
  if (stale.length === 0) return;
  await context.kernel.do(
    "deleteLinks",
    stale.map(({ key }) => key),
  );
  context.state.write((tx) => stale.forEach(({ key }) => forgetEffect(tx, "bridge", key)), { durable: false });
}

/** Deletes the links of containers that are gone, and those on our bridges that no row names. */
async function sweepLinks(context: Context, survey: Survey, dead: readonly EndpointRow[]): Promise<void> {
  const bridges = new Set(allNetworks(context.state).map(({ bridge }) => bridge));
  const masters = new Set(survey.links.filter(({ name }) => bridges.has(name)).map(({ index }) => index));
  const named = new Set(allEndpoints(context.state).map(({ hostName }) => hostName));
  const gone = new Set(dead.map(({ hostName }) => hostName));
  const stale = survey.links.filter(
    ({ name, kind, master }) =>
      kind === "veth" && (gone.has(name) || (name.startsWith(HOST_NAME_PREFIX) && masters.has(master) && !named.has(name))),
  );
  await context.kernel.do(
    "deleteLinks",
    stale.map(({ name }) => name),
  );
}

async function restoreLinks(context: Context, network: NetworkRow, survey: Survey): Promise<void> {
  try {
    await makeParent(context, network, survey);
    if (network.bridge === undefined) return;
    const { adopted } = await makeBridge(context, network);
    if (adopted) return;
    const links = allEndpoints(context.state).filter((endpoint) => endpoint.network === network.id && endpoint.hostName !== "");
    const isolated = !isOn(network.config.options, OPTION.icc);
    await context.kernel.do("enslave", { bridge: network.bridge, links: links.map(({ hostName }) => hostName), isolated });
  } catch (error) {
    if (network.name === "bridge") throw error;
    context.log.error("cannot restore network {name}: {error}", { name: network.name, error });
  }
}

async function reopenResolvers(context: Context, running: { containerId: string; pid: number }[]): Promise<void> {
  for (const { containerId, pid } of running) {
    const endpoints = endpointsOf(context.state, containerId).filter(({ config }) => config.state === "active");
    if (wantsResolver(context, endpoints)) await openResolver(context, containerId, `/proc/${pid}/ns/net`);
  }
}

async function writeFirstTable(context: Context): Promise<void> {
  try {
    await rewriteTable(context);
  } catch (cause) {
    const sentence = `Cannot write the firewall table "${context.options.table}": ${messageOf(cause)}`;
    throw new LighterError("unsupported", `${sentence}; the kernel needs nf_tables with nft_chain_nat, nft_masq, nft_ct and nft_fib_inet`, {
      cause,
    });
  }
}
