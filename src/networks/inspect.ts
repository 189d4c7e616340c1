import { toRfc3339Nano } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { type Filters, booleanFilter, filterValues, matchLabels } from "../wire/filters.ts";
import type { Network, NetworkInspect } from "../wire/engine-api.ts";
import type { Reader } from "../state/state.ts";
import { type Context, prefixOf } from "./context.ts";
import { type NetworkRow, allNetworks, endpointsOn, findNetwork } from "./rows.ts";

const PREDEFINED = ["bridge", "host", "none"];

/** Whether a network is one of the three that are always there. */
export function isPredefined(name: string): boolean {
  return PREDEFINED.includes(name);
}

/** The networks that pass the filters (`id`, `name`, `driver`, `type`, `scope`, `dangling`, `label`). */
export function list(reader: Reader, filters: Filters): Network[] {
  return selected(reader, filters).map(summary);
}

/** As {@link list}, the rows themselves. */
export function selected(reader: Reader, filters: Filters): NetworkRow[] {
  const dangling = booleanFilter(filters, "dangling");
  for (const type of filterValues(filters, "type") ?? [])
    if (type !== "builtin" && type !== "custom") throw new LighterError("invalid", `invalid filter: 'type'='${type}'`);
  return allNetworks(reader).filter((network) => {
    const type = isPredefined(network.name) ? "builtin" : "custom";
    return (
      passes(filters, "id", (value) => network.id.startsWith(value)) &&
      passes(filters, "name", (value) => nameMatches(network.name, value)) &&
      passes(filters, "driver", (value) => network.driver === value) &&
      passes(filters, "type", (value) => type === value) &&
      passes(filters, "scope", (value) => value === "local") &&
      matchLabels(filters, network.config.labels) &&
      (dangling === undefined || dangling === (type === "custom" && !inUse(reader, network)))
    );
  });
}

function passes(filters: Filters, key: string, test: (value: string) => boolean): boolean {
  return filterValues(filters, key)?.some(test) ?? true;
}

/** Docker takes the value as a regular expression, or as a part of the name where it is none. */
function nameMatches(name: string, value: string): boolean {
  try {
    return name === value || new RegExp(value).test(name);
  } catch {
    return name.includes(value);
  }
}

/** Whether a container that starts or runs has a place in the network. */
export function inUse(reader: Reader, network: NetworkRow): boolean {
  return endpointsOn(reader, network.id).some(({ config }) => config.state === "active");
}

/** One network with its containers and how full its subnets are. */
export function inspect(context: Context, reference: string): NetworkInspect {
  const network = findNetwork(context.state, reference);
  const places = endpointsOn(context.state, network.id).filter(({ config }) => config.state === "active");
  const withPrefix = (address: string | undefined, family: 4 | 6): string =>
    address === undefined ? "" : `${address}/${prefixOf(network, family)}`;
  return {
    ...summary(network),
    Containers: Object.fromEntries(
      places.map(({ container, id, mac, address4, address6, config }) => [
        container,
        {
          Name: config.containerName,
          EndpointID: id,
          MacAddress: mac ?? "",
          IPv4Address: withPrefix(address4, 4),
          IPv6Address: withPrefix(address6, 6),
        },
      ]),
    ),
    Status: { IPAM: { Subnets: context.book.status(network) } },
  };
}

function summary({ id, name, driver, created, config }: NetworkRow): Network {
  return {
    Name: name,
    Id: id,
    Created: toRfc3339Nano(created),
    Scope: "local",
    Driver: driver,
    EnableIPv4: config.enableIPv4,
    EnableIPv6: config.enableIPv6,
    IPAM: {
      Driver: config.ipam.driver,
      Options: (isPredefined(name) ? null : config.ipam.options) as Record<string, string>,
      Config: config.ipam.config.map(({ subnet, ipRange, gateway, auxAddresses }) => ({
        Subnet: subnet,
        ...(ipRange === undefined ? {} : { IPRange: ipRange }),
        ...(gateway === undefined ? {} : { Gateway: gateway }),
        ...(auxAddresses === undefined ? {} : { AuxiliaryAddresses: auxAddresses }),
      })),
    },
    Internal: config.internal,
    Attachable: config.attachable,
    Ingress: false,
    ConfigFrom: { Network: config.configFrom ?? "" },
    ConfigOnly: config.configOnly === true,
    Options: config.options,
    Labels: config.labels,
  };
}
