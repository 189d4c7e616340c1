import { shortId } from "../base/ids.ts";
import type { Reader } from "../state/state.ts";
import { addressBytes, formatAddress, parseAddress } from "./addresses.ts";
import { CODE, type DnsRecord, TYPE, encodeName, reverseAddress } from "./dns-message.ts";
import { gatewayOf } from "./gateways.ts";
import { hasInterface } from "./parent.ts";
import { type EndpointRow, type NetworkRow, endpointsOf, endpointsOn, networkById } from "./rows.ts";

/** What is known of a name: a code and records; undefined means that somebody else is to be asked. */
export interface KnownName {
  code: number;
  records: DnsRecord[];
}

/** Names that mean the host, in every network and with no flag: those that Docker's desktop programs made common. */
export const HOST_NAMES = ["host.docker.internal", "gateway.docker.internal"];

/** Who is called what in one network. */
interface Directory {
  network: NetworkRow;
  byName: Map<string, EndpointRow[]>;
  byAddress: Map<string, EndpointRow>;
}

/** Whether containers of a network find each other by name: all but the default bridge, as in Docker. */
export function hasNames(network: NetworkRow | undefined): boolean {
  return network !== undefined && hasInterface(network) && network.name !== "bridge";
}

/** The names by which an endpoint is known in its network: the container's, aliases, the short id, its host name. */
export function dnsNames({ container, config }: EndpointRow): string[] {
  const all = [config.containerName, ...(config.asked.Aliases ?? []), shortId(container), config.hostname ?? ""];
  return [...new Set(all.filter((name) => name !== ""))];
}

/** The names of containers in user networks, read from the rows and kept until somebody comes or goes. */
export class Names {
  readonly #reader: Reader;
  readonly #directories = new Map<string, Directory>();
  #turn = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** Forgets what was read of a network, after somebody came or went. */
  changed(networkId: string): void {
    this.#directories.delete(networkId);
  }

  /** What a container is told about a name. */
  lookup(container: string, name: string, type: number): KnownName | undefined {
    const places = endpointsOf(this.#reader, container).filter(({ config }) => config.state === "active");
    const here = places.flatMap((place) => {
      const directory = this.#directory(place.network);
      return directory === undefined ? [] : [{ place, directory }];
    });
    const reverse = reverseAddress(name);
    if (reverse !== undefined) return this.#reverse(reverse, type, here);
    const found = here.flatMap(({ place, directory }) => this.#find(place, directory, name));
    if (found.length === 0) return HOST_NAMES.includes(name) ? hostAnswer(here, type) : undefined;
    const records = found.flatMap((endpoint) => addressRecords(endpoint, type));
    // Each answer begins with another of several containers of one name.
    const turn = this.#turn++ % Math.max(records.length, 1);
    return { code: CODE.ok, records: [...records.slice(turn), ...records.slice(0, turn)] };
  }

  #find(place: EndpointRow, { network, byName }: Directory, name: string): EndpointRow[] {
    const suffix = `.${network.name.toLowerCase()}`;
    const short = name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
    const link = (place.config.asked.Links ?? [])
      .map((text) => text.split(":"))
      .find(([reference = "", alias = reference]) => alias.toLowerCase() === short);
    return byName.get(link?.[0]?.replace(/^\//, "").toLowerCase() ?? short) ?? byName.get(name) ?? [];
  }

  #reverse(text: string, type: number, here: { directory: Directory }[]): KnownName | undefined {
    const address = parseAddress(text);
    if (address === undefined) return undefined;
    for (const { directory } of here) {
      const endpoint = directory.byAddress.get(formatAddress(address));
      if (endpoint === undefined) continue;
      const data = encodeName(`${endpoint.config.containerName}.${directory.network.name}`);
      return { code: CODE.ok, records: type === TYPE.ptr ? [{ type: TYPE.ptr, data }] : [] };
    }
    return undefined;
  }

  #directory(networkId: string): Directory | undefined {
    const kept = this.#directories.get(networkId);
    if (kept !== undefined) return kept;
    const network = networkById(this.#reader, networkId);
    if (network === undefined || !hasNames(network)) return undefined;
    const directory: Directory = { network, byName: new Map(), byAddress: new Map() };
    for (const endpoint of endpointsOn(this.#reader, networkId).filter(({ config }) => config.state === "active")) {
      for (const name of dnsNames(endpoint)) {
        const key = name.toLowerCase();
        directory.byName.set(key, [...(directory.byName.get(key) ?? []), endpoint]);
      }
      for (const address of [endpoint.address4, endpoint.address6]) if (address !== undefined) directory.byAddress.set(address, endpoint);
    }
    this.#directories.set(networkId, directory);
    return directory;
  }
}

/** The host is where a network's gateway is; the one that leads out comes first, an internal one has its gateway there, too. */
function hostAnswer(here: readonly { directory: Directory }[], type: number): KnownName | undefined {
  const bridges = here.map(({ directory }) => directory.network).filter(({ bridge }) => bridge !== undefined);
  if (bridges.length === 0) return undefined;
  const networks = bridges.toSorted((a, b) => Number(a.config.internal) - Number(b.config.internal));
  const found = networks.flatMap((network) => {
    const address4 = gatewayOf(network, 4);
    const address6 = gatewayOf(network, 6);
    return addressRecords({ address4, address6 }, type);
  });
  return { code: CODE.ok, records: found.slice(0, 1) };
}

function addressRecords({ address4, address6 }: Pick<EndpointRow, "address4" | "address6">, type: number): DnsRecord[] {
  const text = type === TYPE.a ? address4 : type === TYPE.aaaa ? address6 : undefined;
  const address = text === undefined ? undefined : parseAddress(text);
  return address === undefined ? [] : [{ type, data: addressBytes(address) }];
}
