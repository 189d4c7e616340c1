import { LighterError } from "../base/errors.ts";
import type { Reader } from "../state/state.ts";
import { egressOfNetwork } from "./egress-places.ts";
import { parseEgress } from "./egress-rules.ts";
import { hasOwnRoute } from "./gateways.ts";
import type { NetworkCreateOptions, NetworkRequest } from "./networks.ts";
import { isOnParent } from "./parent.ts";
import { planOf } from "./plan.ts";
import { type NetworkRow, endpointsOf, networkById } from "./rows.ts";

const BY_OTHERS = "its packets do not pass a bridge of ours; use a bridge network";
const PAST_HOST = "its way out is another address than this host's; use a network without a default gateway of its own";

/** Checks what a container may reach: rules are refused where nothing could enforce them. Throws `invalid`. */
export function checkEgress(reader: Reader, request: Pick<NetworkRequest, "containerId" | "mode" | "endpoints" | "egress">): void {
  if (parseEgress(request.egress) === undefined) return;
  const plan = planOf(reader, request);
  if (plan.kind === "container")
    throw new LighterError(
      "invalid",
      "conflicting options: egress rules and the network mode: it shares the network and the rules of the other container",
    );
  if (plan.kind === "host")
    throw new LighterError("invalid", "conflicting options: egress rules cannot be enforced in the host's network; use a bridge network");
  for (const { network } of plan.kind === "bridge" ? plan.places : []) checkPlaceEgress(network, request.egress);
  for (const { network, config } of endpointsOf(reader, request.containerId)) {
    const joined = config.state === "detached" ? undefined : networkById(reader, network);
    if (joined !== undefined) checkPlaceEgress(joined, request.egress);
  }
}

/** Checks that a place in a network can be limited as a container asks for. Throws `invalid`. */
export function checkPlaceEgress(
  { name, driver, config }: Pick<NetworkRow, "name" | "driver" | "config">,
  egress: string | undefined,
): void {
  if (parseEgress(egress) !== undefined) checkJudged(name, driver, config.ipam.config);
}

/** Checks what a network's containers may reach. Throws `invalid`. */
export function checkNetworkEgress({ name, driver, labels, options, ipam }: NetworkCreateOptions): void {
  if (parseEgress(egressOfNetwork({ config: { labels, options } })) !== undefined) checkJudged(name, driver, ipam.config ?? []);
}

/** Throws `invalid` where packets to elsewhere do not come by this host's rules. */
function checkJudged(name: string, driver: string, subnets: readonly { auxAddresses?: Record<string, string> }[]): void {
  const why = isOnParent({ driver }) ? BY_OTHERS : subnets.some(hasOwnRoute) ? PAST_HOST : undefined;
  if (why !== undefined) throw new LighterError("invalid", `egress rules cannot be enforced on ${driver} network "${name}": ${why}`);
}
