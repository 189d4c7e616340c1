import { LighterError } from "../base/errors.ts";
import type { Reader } from "../state/state.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import { contains, parseAddress, parseMac, parseSubnet } from "./addresses.ts";
import { bindingsOf, containerPort } from "./bindings.ts";
import { askedInterface, interfaceNames, interfaceSettings, linkLocalAddresses } from "./endpoint-options.ts";
import { NO_PLACES } from "./config-only.ts";
import { checkEgress } from "./check-egress.ts";
import type { NetworksNeeds } from "./needs.ts";
import type { NetworkRequest } from "./networks.ts";
import { hasInterface } from "./parent.ts";
import { type Place, planOf } from "./plan.ts";

const UNDEFINED_BEHAVIOUR = "This would result in undefined behavior";

/** Checks what a container asks of the network when it is created; Docker's texts, because clients match on them. */
export function checkRequest(reader: Reader, needs: Pick<NetworksNeeds, "container">, request: NetworkRequest): void {
  checkEgress(reader, request);
  bindingsOf(request);
  for (const key of request.exposed) containerPort(key);
  if (request.mode.startsWith("container:")) return checkShared(needs, request);
  const plan = planOf(reader, request);
  if (plan.kind === "host" && request.links.length > 0) {
    throw new LighterError("invalid", `conflicting options: host type networking can't be used with links. ${UNDEFINED_BEHAVIOUR}`);
  }
  if (plan.kind === "container") return;
  if (plan.kind !== "bridge" && Object.keys(request.endpoints).length > 1)
    throw new LighterError("invalid", `conflicting options: cannot attach both user-defined and non-user-defined network-modes`);
  for (const place of plan.places) checkPlace(place);
  interfaceNames(plan.places.map(({ asked }) => ({ asked, prefix: "eth" })));
}

function checkShared(needs: Pick<NetworksNeeds, "container">, request: NetworkRequest): void {
  const conflicts: [boolean, string][] = [
    [request.links.length > 0, `container type network can't be used with links. ${UNDEFINED_BEHAVIOUR}`],
    [request.dns.length > 0, "dns and the network mode"],
    [request.extraHosts.length > 0, "custom host-to-IP mapping and the network mode"],
    [Object.keys(request.portBindings).length > 0 || request.publishAll, "port publishing and the container type network mode"],
    [request.exposed.length > 0 && Object.keys(request.portBindings).length > 0, "port exposing and the container type network mode"],
    [Object.values(request.endpoints).some((asked) => (asked?.MacAddress ?? "") !== ""), "mac-address and the network mode"],
  ];
  const conflict = conflicts.find(([applies]) => applies);
  if (conflict !== undefined) throw new LighterError("invalid", `conflicting options: ${conflict[1]}`);
  needs.container(request.mode.slice("container:".length));
}

/** The addresses that somebody asked for by name. */
export function fixedAddresses(asked: EndpointSettings): string[] {
  return [asked.IPAMConfig?.IPv4Address, asked.IPAMConfig?.IPv6Address].flatMap((text) =>
    text === undefined || text === "" ? [] : [text],
  );
}

/** Checks what is asked of one network. Throws `invalid`. */
export function checkPlace({ network, asked }: Pick<Place, "network" | "asked">): void {
  if ((asked.MacAddress ?? "") !== "") parseMac(asked.MacAddress ?? "");
  if (network.config.configOnly === true) throw new LighterError("forbidden", NO_PLACES);
  askedInterface(asked);
  interfaceSettings(asked);
  linkLocalAddresses(asked);
  const fixed = fixedAddresses(asked);
  if (fixed.length > 0 && (network.name === "bridge" || !hasInterface(network)))
    throw new LighterError(
      "invalid",
      "invalid config for network " +
        network.name +
        ": invalid endpoint settings:\nuser specified IP address is supported on user defined networks only",
    );
  if ((asked.Aliases ?? []).length > 0 && network.name === "bridge")
    throw new LighterError(
      "invalid",
      "invalid config for network bridge: invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks",
    );
  for (const text of fixed) {
    const address = parseAddress(text);
    if (address === undefined)
      throw new LighterError(
        "invalid",
        `invalid config for network ${network.name}: invalid endpoint settings:\ninvalid IP address: ${text}`,
      );
    if (!network.config.ipam.config.some(({ subnet }) => contains(parseSubnet(subnet), address)))
      throw new LighterError(
        "invalid",
        `invalid config for network ${network.name}: invalid endpoint settings:\nno configured subnet contains IP address ${text}`,
      );
  }
}
