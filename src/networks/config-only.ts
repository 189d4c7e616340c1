import { LighterError } from "../base/errors.ts";
import type { Reader } from "../state/state.ts";
import type { NetworkCreateOptions } from "./networks.ts";
import { type NetworkRow, allNetworks, networkByName } from "./rows.ts";

/** Docker's sentence for a container that is to be in a network which is a configuration alone. */
export const NO_PLACES = "cannot create endpoint on configuration-only network";

/** Checks a network that is to be kept as a configuration for others (`--config-only`). Throws `forbidden` with Docker's text. */
export function checkConfigOnly({ internal, attachable, configFrom }: NetworkCreateOptions): void {
  if (internal || attachable)
    throw new LighterError(
      "forbidden",
      "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.",
    );
  if (configFrom !== undefined)
    throw new LighterError("forbidden", "a configuration network cannot depend on another configuration network");
}

/** A network's options with those of the configuration that it names (`--config-from`). Throws `not-found`, and `forbidden` where it has options of its own. */
export function withConfiguration(reader: Reader, options: NetworkCreateOptions): NetworkCreateOptions {
  const { configFrom } = options;
  if (configFrom === undefined) return options;
  const found = networkByName(reader, configFrom);
  if (found?.config.configOnly !== true) throw new LighterError("not-found", `configuration network "${configFrom}" does not exist`);
  const refuse = (what: string): never => {
    throw new LighterError("forbidden", `${what} are not supported if the network depends on a configuration network`);
  };
  if ((options.ipam.config ?? []).length > 0 || Object.keys(options.ipam.options ?? {}).length > 0) refuse("ipam driver options");
  if (Object.keys(options.options).length > 0) refuse("network driver options");
  if (Object.keys(options.labels).length > 0) refuse("labels");
  const { ipam, options: own, labels, enableIPv4, enableIPv6 } = found.config;
  return { ...options, options: own, labels, enableIPv4, enableIPv6, ipam: { options: ipam.options ?? {}, config: ipam.config } };
}

/** Throws `forbidden` with Docker's text when other networks were made from a configuration. */
export function checkNotDependedOn(reader: Reader, network: NetworkRow): void {
  if (network.config.configOnly === true && allNetworks(reader).some(({ config }) => config.configFrom === network.name))
    throw new LighterError("forbidden", `error while removing network: configuration network "${network.name}" is in use`);
}
