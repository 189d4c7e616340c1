import { now } from "../base/clock.ts";
import { LighterError, messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import type { Tx } from "../state/state.ts";
import { makeBridge } from "./bridge.ts";
import { type Context, HOST_NAME_PREFIX, rewriteTable } from "./context.ts";
import { directRules } from "./direct-ports.ts";
import { emptyConfig, ensureDefaultBridge } from "./default-bridge.ts";
import { OPTION, isOn } from "./bridge-options.ts";
import { restoreEgress } from "./egress.ts";
import { effectsOf, forgetEffect } from "./effects.ts";
import { enableForwarding } from "./forwarding.ts";
import type { Survey } from "./jobs.ts";
import { release } from "./leave.ts";
import { makeParent, sweepParents } from "./parent.ts";
import { openResolver, wantsResolver } from "./resolve.ts";
import { rewire } from "./rewire.ts";
import {
  type EndpointRow,
  type NetworkRow,
  allEndpoints,
  allNetworks,
  allPorts,
  endpointsOf,
  insertNetwork,
  networkByName,
} from "./rows.ts";
import { egressMtu } from "./subnets.ts";

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
  const direct = allEndpoints(context.state).filter((endpoint) => directRules(endpoint).length > 0);
  context.open = new Set([...allPorts(context.state), ...direct].map(({ container }) => container));
  enableForwarding(context, 4);
  if (allNetworks(context.state).some(({ config }) => config.enableIPv6)) enableForwarding(context, 6);
  await writeFirstTable(context);
  await restoreEgress(context);
  await reopenResolvers(context, running);
  await rewire(context, running, survey);
  // What is ready there has an IPv4 address alone.
  if (bridge?.config.enableIPv6 !== true) context.bridgePool.fill();
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
