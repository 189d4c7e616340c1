import { LighterError } from "../base/errors.ts";
import { appendPrune } from "../state/events.ts";
import { type Filters, filterValues } from "../wire/filters.ts";
import type { Nanoseconds } from "../base/clock.ts";
import { momentOf } from "../base/moment.ts";
import { type Context, changeRules } from "./context.ts";
import { checkNotDependedOn } from "./config-only.ts";
import { forgetEffect, recordEffect } from "./effects.ts";
import { inUse, isPredefined, selected } from "./inspect.ts";
import { putBackForwarding } from "./forwarding.ts";
import { isOnParent, sweepParents } from "./parent.ts";
import { networkEvent } from "./reserve.ts";
import { type NetworkRow, allNetworks, deleteNetwork, endpointsOn, findNetwork, networkById } from "./rows.ts";

/** Removes a network that no running container is in. Throws `forbidden` with Docker's texts for one in use and for the three that stay. */
export async function remove(context: Context, reference: string): Promise<void> {
  const network = findNetwork(context.state, reference);
  if (isPredefined(network.name)) throw new LighterError("forbidden", `${network.name} is a pre-defined network and cannot be removed`);
  checkNotDependedOn(context.state, network);
  const active = endpointsOn(context.state, network.id).filter(({ config }) => config.state === "active");
  if (active.length > 0) {
    const who = active.map(({ id, config }) => `name:"${config.containerName}" id:"${id.slice(0, 12)}"`).join(", ");
    throw new LighterError("forbidden", `error while removing network: network ${network.name} has active endpoints (${who})`);
  }
  await removeNetwork(context, network);
}

/** Deletes rows, bridge and rules; the bridge is named in a row until it is gone. */
export async function removeNetwork(context: Context, network: NetworkRow): Promise<void> {
  await removeNetworks(context, [network]);
}

/** As {@link removeNetwork} for many: the kernel needs as long for the links of 60 as for one. */
async function removeNetworks(context: Context, networks: readonly NetworkRow[]): Promise<void> {
  for (const network of networks) forgetNetwork(context, network);
  if (networks.some(isOnParent)) await sweepParents(context);
  const bridged = networks.filter(({ bridge }) => bridge !== undefined);
  const bridges = bridged.flatMap(({ bridge }) => bridge ?? []);
  if (bridges.length === 0) return;
  await changeRules(context, { remove: bridged });
  await context.kernel.do("deleteLinks", bridges);
  context.state.write((tx) => bridges.forEach((bridge) => forgetEffect(tx, "bridge", bridge)), { durable: false });
  if (networks.some(({ config }) => config.enableIPv6) && !allNetworks(context.state).some(({ config }) => config.enableIPv6))
    await putBackForwarding(context, [6]);
}

function forgetNetwork(context: Context, network: NetworkRow): void {
  const { bridge } = network;
  context.state.write(
    (tx) => {
      if (bridge !== undefined) recordEffect(tx, { kind: "bridge", key: bridge, data: { network: network.id } });
      deleteNetwork(tx, network.id);
      networkEvent(tx, "destroy", network);
    },
    { durable: true },
  );
  context.book.forget(network.id);
}

/** How many are removed together: in between others have their turn. */
const TOGETHER = 32;

/** Removes the networks that no container is in and that pass the filters (`until`, `label`); returns their names. */
export async function prune(context: Context, filters: Filters): Promise<string[]> {
  const until = untilOf(filters);
  const rest = new Map([...filters].filter(([key]) => key === "label" || key === "label!"));
  const isIdle = (network: NetworkRow): boolean => !isPredefined(network.name) && !isNeeded(context, network);
  const idle = selected(context.state, rest).filter((network) => isIdle(network) && (until === undefined || network.created < until));
  const removed: string[] = [];
  for (let at = 0; at < idle.length; at += TOGETHER) {
    // While others were removed, a container may have come, or somebody may have removed one.
    const still = idle
      .slice(at, at + TOGETHER)
      .filter((network) => networkById(context.state, network.id) !== undefined && isIdle(network));
    await removeNetworks(context, still);
    removed.push(...still.map(({ name }) => name));
  }
  context.state.write((tx) => appendPrune(tx, "network", 0), { durable: false });
  return removed;
}

function isNeeded(context: Context, network: NetworkRow): boolean {
  return inUse(context.state, network) || network.config.configOnly === true;
}

/** `until`: a time, seconds since the epoch, or how long ago as a Go duration. */
function untilOf(filters: Filters): Nanoseconds | undefined {
  const value = filterValues(filters, "until")?.[0];
  return value === undefined ? undefined : momentOf(value);
}
