import { LighterError } from "../base/errors.ts";
import type { Tx } from "../state/state.ts";
import type { Context } from "./context.ts";
import { hasNames } from "./names.ts";
import type { NetworkRequest } from "./networks.ts";
import { planOf } from "./plan.ts";
import { endpointsOf, findNetwork, updateEndpoint } from "./rows.ts";

/** What became of a container's names in a network. */
export interface ChangedAliases {
  /** The network's name and id. */
  network: string;
  id: string;
  aliases: string[];
  /** The place is kept here from run to run (it was joined by `connect`); else the caller's own configuration has to keep the names. */
  kept: boolean;
}

/** Gives a container other names in a network, at once where it runs. Throws `not-found`, `invalid`, and `conflict` for a network that it is not in. */
export function changeAliases(
  context: Context,
  tx: Tx,
  request: Pick<NetworkRequest, "containerId" | "containerName" | "mode" | "endpoints">,
  reference: string,
  change: { add: string[]; remove: string[] },
): ChangedAliases {
  const network = findNetwork(tx, reference);
  const all = endpointsOf(tx, request.containerId);
  const endpoint = all.find((one) => one.network === network.id && one.config.state !== "detached");
  const runs = all.some(({ config }) => config.state === "active");
  const plan = runs ? undefined : planOf(tx, request);
  const place = plan === undefined || plan.kind === "container" ? undefined : plan.places.find((one) => one.network.id === network.id);
  if (endpoint === undefined && place === undefined)
    throw new LighterError("conflict", `container ${request.containerId} is not connected to network ${network.name}`);
  if (!hasNames(network)) throw new LighterError("invalid", "network-scoped aliases are only supported for user-defined networks");
  const before = (endpoint?.config.asked ?? place?.asked)?.Aliases ?? [];
  const missing = change.remove.find((alias) => !before.includes(alias));
  if (missing !== undefined)
    throw new LighterError(
      "invalid",
      `Cannot remove alias "${missing}": "${request.containerName}" is not called so in network "${network.name}"`,
    );
  const aliases = [...new Set([...before.filter((alias) => !change.remove.includes(alias)), ...change.add])];
  if (endpoint !== undefined) {
    updateEndpoint(tx, { ...endpoint, config: { ...endpoint.config, asked: { ...endpoint.config.asked, Aliases: aliases } } });
    tx.afterCommit(() => context.names.changed(network.id));
  }
  return { network: network.name, id: network.id, aliases, kept: endpoint?.config.connected ?? false };
}
