import { LighterError } from "../base/errors.ts";
import { appendPrune } from "../state/events.ts";
import { type Filters, filterValues } from "../wire/filters.ts";
import type { Nanoseconds } from "../base/clock.ts";
import { momentOf } from "../base/moment.ts";
import { type Context, changeRules } from "./context.ts";
import { forgetEffect, recordEffect } from "./effects.ts";
import { inUse, isPredefined, selected } from "./inspect.ts";
import { putBackForwarding } from "./forwarding.ts";
import { isOnParent, sweepParents } from "./parent.ts";
import { networkEvent } from "./reserve.ts";
import { type NetworkRow, allNetworks, deleteNetwork, endpointsOn, findNetwork } from "./rows.ts";

/** Removes a network that no running container is in. Throws `forbidden` with Docker's texts for one in use and for the three that stay. */
export async function remove(context: Context, reference: string): Promise<void> {
  const network = findNetwork(context.state, reference);
  if (isPredefined(network.name)) throw new LighterError("forbidden", `${network.name} is a pre-defined network and cannot be removed`);
  const active = endpointsOn(context.state, network.id).filter(({ config }) => config.state === "active");
  if (active.length > 0) {
    const who = active.map(({ id, config }) => `name:"${config.containerName}" id:"${id.slice(0, 12)}"`).join(", ");
    throw new LighterError("forbidden", `error while removing network: network ${network.name} has active endpoints (${who})`);
  }
  await removeNetwork(context, network);
}

/** Deletes rows, bridge and rules; the bridge is named in a row until it is gone. */
export async function removeNetwork(context: Context, network: NetworkRow): Promise<void> {
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
  if (isOnParent(network)) return sweepParents(context);
  await changeRules(context, { remove: network });
  if (bridge === undefined) return;
  await context.kernel.do("deleteLinks", [bridge]);
  context.state.write((tx) => forgetEffect(tx, "bridge", bridge), { durable: false });
  if (network.config.enableIPv6 && !allNetworks(context.state).some(({ config }) => config.enableIPv6))
    await putBackForwarding(context, [6]);
}

/** Removes the networks that no container is in and that pass the filters (`until`, `label`); returns their names. */
export async function prune(context: Context, filters: Filters): Promise<string[]> {
  const until = untilOf(filters);
  const rest = new Map([...filters].filter(([key]) => key === "label" || key === "label!"));
  const idle = selected(context.state, rest).filter(
    (network) => !isPredefined(network.name) && !inUse(context.state, network) && (until === undefined || network.created < until),
  );
  const removed: string[] = [];
  for (const network of idle) {
    // While others were removed, a container may have come.
    if (inUse(context.state, network)) continue;
    await removeNetwork(context, network);
    removed.push(network.name);
  }
  context.state.write((tx) => appendPrune(tx, "network", 0), { durable: false });
  return removed;
}

/** `until`: a time, seconds since the epoch, or how long ago as a Go duration. */
function untilOf(filters: Filters): Nanoseconds | undefined {
  const value = filterValues(filters, "until")?.[0];
  return value === undefined ? undefined : momentOf(value);
}
