import { existsSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import { checkPlace } from "./check.ts";
import { checkPlaceEgress } from "./check-egress.ts";
import { NO_PLACES } from "./config-only.ts";
import { type Context, rewriteTable, whenUp, wireOf } from "./context.ts";
import { movedPorts } from "./direct-ports.ts";
import { interfaceNames } from "./endpoint-options.ts";
import { beginLimits, refreshEgress } from "./egress.ts";
import { isLimited } from "./egress-places.ts";
import { gatewaysOf } from "./gateways.ts";
import { hasInterface, isOnParent } from "./parent.ts";
import { refreshFiles } from "./live-files.ts";
import { gatewayPlace } from "./plan.ts";
import { namedPlace, networkEvent, takePlace } from "./reserve.ts";
import {
  type EndpointRow,
  type NetworkRow,
  deleteEndpoint,
  endpointsOf,
  findNetwork,
  movePorts,
  networkById,
  portsOf,
  putEndpoint,
  updateEndpoint,
} from "./rows.ts";

const NO_PRIVATE = "container cannot be connected to multiple networks with one of the networks in private (none) mode";

/** Puts a container into a network: at once when it runs, else from its next start on. */
export async function connect(context: Context, reference: string, container: string, asked: EndpointSettings): Promise<void> {
  const network = findNetwork(context.state, reference);
  if (network.config.configOnly === true) throw new LighterError("forbidden", NO_PLACES);
  if (!hasInterface(network))
    throw new LighterError(
      "forbidden",
      `container cannot be connected to ${network.name} network - container must be created in ${network.name} network mode`,
    );
  checkPlace({ network, asked });
  const target = context.needs.container(container);
  const present = endpointsOf(context.state, target.id);
  checkPlaceEgress(network, context.needs.egress(target.id));
  const there = present.find((endpoint) => endpoint.network === network.id);
  if (there !== undefined && there.config.state !== "detached")
    throw new LighterError("forbidden", `endpoint with name ${target.name} already exists in network ${network.name}`);
  if (target.pid === undefined) {
    const config = { ...notActive(target.name, asked), state: "configured" as const, connected: true };
    const row = { ...noAddresses(network.id, target.id), config };
    return context.state.write((tx) => putEndpoint(tx, row), { durable: true });
  }
  await connectRunning(context, network, { id: target.id, name: target.name, pid: target.pid }, asked, present);
}

async function connectRunning(
  context: Context,
  network: NetworkRow,
  target: { id: string; name: string; pid: number },
  asked: EndpointSettings,
  present: EndpointRow[],
): Promise<void> {
  const active = present.filter(({ config }) => config.state === "active");
  const drivers = active.map((endpoint) => networkById(context.state, endpoint.network)?.driver);
  if (drivers.includes("host"))
    throw new LighterError("forbidden", "cannot connect container to network: it shares the host's network namespace");
  if (drivers.includes("null")) throw new LighterError("forbidden", NO_PRIVATE);
  const places = [
    ...active.map((endpoint) => ({ network: networkById(context.state, endpoint.network) ?? network, asked: endpoint.config.asked })),
    { network, asked },
  ];
  const leads = active.every(({ config }) => !config.gateway || config.name === "") || gatewayPlace(places) === places.length - 1;
  const options = {
    container: target.id,
    containerName: target.name,
    name: interfaceNames([namedPlace({ network, asked })], interfacesOf(active))[0] ?? "",
    gateway: leads,
    exposed: leads ? [...new Set(present.flatMap(({ config }) => config.exposed))] : [],
    direct: leads ? movedPorts(network.config.options, portsOf(context.state, target.id), present) : [],
    mayPool: false,
    hostname: active.find(({ config }) => (config.hostname ?? "") !== "")?.config.hostname ?? "",
    dns: active.find(({ config }) => (config.dns ?? []).length > 0)?.config.dns ?? [],
    egress: context.needs.egress(target.id),
    extraHosts: active.find(({ config }) => config.extraHosts !== undefined)?.config.extraHosts,
  };
  const endpoint = context.state.write(
    (tx) => {
      const added = takePlace(context, tx, { network, asked, connected: true }, options);
      if (!leads) return added;
      for (const other of active) updateEndpoint(tx, { ...other, config: { ...other.config, gateway: false, exposed: [] } });
      movePorts(tx, target.id, added.id);
      return added;
    },
    { durable: false },
  );
  try {
    if (isLimited(context.state, [endpoint])) await beginLimits(context, [endpoint]);
    else if (context.egress.places.has(target.id)) await refreshEgress(context);
    await context.kernel.do("attach", { namespace: `/proc/${target.pid}/ns/net`, wire: wireOf(context, network, endpoint) });
    if (endpoint.hostName !== "") await whenUp(context, [endpoint.hostName, ...(network.bridge === undefined ? [] : [network.bridge])]);
    if (leads && context.open.has(target.id)) {
      await rewriteTable(context);
      await context.keeper.hand(target.id);
    }
  } catch (error) {
    context.state.write(
      (tx) => {
        const heir = active.find(({ config }) => config.gateway);
        movePorts(tx, target.id, heir?.id);
        for (const other of active) updateEndpoint(tx, other);
        deleteEndpoint(tx, endpoint.id);
      },
      { durable: false },
    );
    context.names.changed(network.id);
    context.book.free(network.id, endpoint.address4);
    context.book.free(network.id, endpoint.address6);
    await refreshEgress(context);
    if (existsSync(`/proc/${target.pid}/ns/net`)) throw error;
    throw new LighterError("conflict", `Container ${target.id} is not running`, { cause: error });
  }
  await refreshFiles(context, { container: target.id, pid: target.pid }, { joined: endpoint });
}

function interfacesOf(active: readonly EndpointRow[]): string[] {
  return active.filter(({ address4, address6 }) => (address4 ?? address6) !== undefined).map(({ config }) => config.name);
}

/** Takes a container out of a network: at once when it runs, else from its next start on. */
export async function disconnect(context: Context, reference: string, container: string, force: boolean): Promise<void> {
  const network = findNetwork(context.state, reference);
  const target = targetOf(context, container, force);
  const present = endpointsOf(context.state, target.id);
  const endpoint = present.find((one) => one.network === network.id);
  if (network.driver === "host")
    throw new LighterError(
      "forbidden",
      "container cannot be disconnected from host network - container must be created in host network mode",
    );
  if (endpoint?.config.state === "active") return disconnectRunning(context, network, endpoint, target.pid);
  if (endpoint?.config.state === "detached" || (target.pid !== undefined && endpoint === undefined))
    throw new LighterError("forbidden", `container ${target.id} is not connected to network ${network.name}`);
  const config = { ...notActive(target.name, {}), state: "detached" as const, connected: false };
  context.state.write(
    (tx) => {
      if (endpoint?.config.connected === true) deleteEndpoint(tx, endpoint.id);
      else putEndpoint(tx, { ...noAddresses(network.id, target.id), config });
    },
    { durable: true },
  );
}

function targetOf(context: Context, container: string, force: boolean): { id: string; name: string; pid: number | undefined } {
  try {
    return context.needs.container(container);
  } catch (error) {
    if (!force) throw error;
    return { id: container, name: container, pid: undefined };
  }
}

async function disconnectRunning(context: Context, network: NetworkRow, endpoint: EndpointRow, pid: number | undefined): Promise<void> {
  const rest = endpointsOf(context.state, endpoint.container).filter((one) => one.id !== endpoint.id && one.config.state === "active");
  const places = rest.map((one) => ({ network: networkById(context.state, one.network) ?? network, asked: one.config.asked }));
  const heir = endpoint.config.gateway ? rest[gatewayPlace(places)] : undefined;
  context.state.write(
    (tx) => {
      // Host ports stay the container's: they follow the way out, and wait where there is none.
      if (endpoint.config.gateway) movePorts(tx, endpoint.container, heir?.id);
      deleteEndpoint(tx, endpoint.id);
      if (!endpoint.config.connected)
        putEndpoint(tx, { ...noAddresses(network.id, endpoint.container), config: { ...endpoint.config, state: "detached" } });
      if (heir !== undefined) {
        const { options } = networkById(tx, heir.network)?.config ?? { options: {} };
        const direct = movedPorts(options, portsOf(tx, endpoint.container), [heir, endpoint]);
        const config = { ...heir.config, gateway: true, exposed: endpoint.config.exposed, ...(direct.length > 0 && { direct }) };
        updateEndpoint(tx, { ...heir, config });
      }
      networkEvent(tx, "disconnect", network, endpoint.container);
    },
    { durable: false },
  );
  context.names.changed(network.id);
  context.book.free(network.id, endpoint.address4);
  context.book.free(network.id, endpoint.address6);
  if (context.open.has(endpoint.container)) {
    await rewriteTable(context);
    await context.keeper.hand(endpoint.container);
  }
  if (endpoint.hostName !== "") await context.kernel.do("deleteLinks", [endpoint.hostName]);
  else if (isOnParent(network) && pid !== undefined)
    await context.kernel.do("detach", { namespace: `/proc/${pid}/ns/net`, name: endpoint.config.name });
  if (context.egress.places.has(endpoint.container)) await refreshEgress(context);
  if (pid !== undefined) await refreshFiles(context, { container: endpoint.container, pid }, { left: endpoint });
  const heirNetwork = heir === undefined ? undefined : networkById(context.state, heir.network);
  if (heir === undefined || heirNetwork === undefined || heirNetwork.config.internal || pid === undefined) return;
  const namespace = `/proc/${pid}/ns/net`;
  try {
    await context.kernel.do("gateways", { namespace, name: heir.config.name, gateways: gatewaysOf(heirNetwork, heir) });
  } catch (error) {
    // A container that has just ended needs no way out.
    if (existsSync(namespace)) throw error;
  }
}

function notActive(containerName: string, asked: EndpointSettings): Omit<EndpointRow["config"], "state" | "connected"> {
  return { v: 1, containerName, asked, name: "", gateway: false, exposed: [] };
}

function noAddresses(network: string, container: string): Omit<EndpointRow, "config"> {
  return { id: newId(), network, container, hostName: "", address4: undefined, address6: undefined, mac: undefined };
}
