import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { newId, shortId } from "../base/ids.ts";
import { makeBridge } from "./bridge.ts";
import { OPTION, checkBridgeOptions, isLinkName } from "./bridge-options.ts";
import { chooseSubnets, routeWarning } from "./choose-subnets.ts";
import { checkConfigOnly, withConfiguration } from "./config-only.ts";
import { type Context, changeRules } from "./context.ts";
import { checkNetworkEgress } from "./check-egress.ts";
import { enableForwarding } from "./forwarding.ts";
import { foreignDropWarning } from "./foreign.ts";
import { isPredefined } from "./inspect.ts";
import type { Survey } from "./jobs.ts";
import type { NetworkCreateOptions } from "./networks.ts";
import { checkParent, isOnParent, tryParent } from "./parent.ts";
import { removeNetwork } from "./remove.ts";
import { networkEvent } from "./reserve.ts";
import { type NetworkConfig, type NetworkRow, allNetworks, insertNetwork, networkByName } from "./rows.ts";
import { takenSubnets } from "./subnets.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Makes a network: its row, then its bridge and rules; the row goes again when the kernel refuses. */
export async function create(context: Context, asked: NetworkCreateOptions): Promise<{ id: string; warning: string }> {
  checkOptions(context, asked);
  const options = withDefaultOptions(context, withConfiguration(context.state, asked));
  checkNetworkEgress(options);
  const id = newId();
  if (options.configOnly === true) return keepConfiguration(context, options, id);
  const survey = await context.kernel.do("survey", undefined);
  const driver = isOnParent(options) ? options.driver : "bridge";
  const bridge = driver === "bridge" ? bridgeName(options, id, survey) : undefined;
  const network: NetworkRow = { id, name: options.name, driver, created: now(), bridge, config: plainConfig(options) };
  checkParent(network, survey, allNetworks(context.state));
  context.state.write(
    (tx) => {
      if (networkByName(tx, options.name) !== undefined) throw nameTaken(options.name);
      const networks = allNetworks(tx);
      const room = { id, pools: context.options.addressPools, taken: takenSubnets(survey, networks), networks };
      network.config.ipam.config = chooseSubnets(options, room);
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
  const warnings = (await context.kernel.do("openForeign", context.options.table)).map((drop) => foreignDropWarning(drop, bridge));
  const overlap = routeWarning(network.config.ipam.config, survey.taken, bridge);
  return { id, warning: [...(overlap === undefined ? [] : [overlap]), ...warnings].join("; ") };
}

/** The daemon's options for networks of a driver, but for those that the network has itself. */
function withDefaultOptions({ options: { defaults } }: Context, asked: NetworkCreateOptions): NetworkCreateOptions {
  const driver = ["", "default"].includes(asked.driver) ? "bridge" : asked.driver;
  const given = defaults?.networkOptions?.[driver];
  if (given === undefined || asked.configOnly === true) return asked;
  const options = { ...given, ...asked.options };
  if (driver === "bridge") checkBridgeOptions(options, asked);
  return { ...asked, options };
}

/** A configuration alone: a row, and nothing in the kernel. */
function keepConfiguration(context: Context, options: NetworkCreateOptions, id: string): { id: string; warning: string } {
  checkConfigOnly(options);
  const config = { ...plainConfig(options), configOnly: true };
  config.ipam.config = (options.ipam.config ?? []).flatMap(({ subnet = "", ...rest }) => (subnet === "" ? [] : [{ subnet, ...rest }]));
  const network: NetworkRow = { id, name: options.name, driver: "null", created: now(), bridge: undefined, config };
  context.state.write(
    (tx) => {
      if (networkByName(tx, options.name) !== undefined) throw nameTaken(options.name);
      insertNetwork(tx, network);
      networkEvent(tx, "create", network);
    },
    { durable: true },
  );
  return { id, warning: "" };
}

function bridgeName(options: NetworkCreateOptions, id: string, survey: Survey): string {
  const bridge = options.options[OPTION.name] ?? `br-${shortId(id)}`;
  if (!isLinkName(bridge))
    throw new LighterError("invalid", `invalid bridge name "${bridge}": at most 15 characters without space, "/" and ":"`);
  const rival = survey.links.find(({ name }) => name === bridge);
  if (rival !== undefined)
    throw new LighterError(
      "conflict",
      `bridge name "${bridge}" is in use by another link of the host (${rival.kind || "no virtual one"}): give another ${OPTION.name}, or remove that link if nobody needs it`,
    );
  return bridge;
}

async function makeLinks(context: Context, network: NetworkRow, survey: Survey): Promise<void> {
  if (network.bridge === undefined) return tryParent(context, network, survey);
  await makeBridge(context, network);
  if (network.config.enableIPv6) enableForwarding(context, 6);
  await changeRules(context, { add: network });
}

function checkOptions(context: Context, { name, driver, ipam, options, internal }: NetworkCreateOptions): void {
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
  if (isOnParent({ driver })) return;
  checkBridgeOptions(options, { internal });
  for (const colon of [true, false]) {
    const family = (ipam.config ?? []).filter(({ subnet = "" }) => subnet !== "" && subnet.includes(":") === colon);
    if (family.length > 1) throw new LighterError("forbidden", "bridge driver doesn't support multiple subnets");
  }
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
    ...(options.configFrom === undefined ? {} : { configFrom: options.configFrom }),
  };
}
