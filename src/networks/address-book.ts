import { LighterError } from "../base/errors.ts";
import type { Reader } from "../state/state.ts";
import { type Address, type Subnet, contains, formatAddress, parseAddress, parseSubnet, sizeOf } from "./addresses.ts";
import { type NetworkRow, endpointsOn } from "./rows.ts";

interface Page {
  subnet: Subnet;
  range: Subnet;
  /** In use, kept by the pool, or never given out (gateway, auxiliary addresses). */
  taken: Set<bigint>;
  next: bigint;
}

/** Docker's sentence when nothing is left. */
const EXHAUSTED = "no available IPv4 addresses on this network's address pools";

/**
 * Which addresses of each network are free. A memory of what the rows say plus what the pool keeps ready; the rows' UNIQUE constraints have the
 * last word. Addresses are given out in rising order and come round late, so that a neighbour's view of a gone container has faded by then.
 */
export class AddressBook {
  readonly #reader: Reader;
  readonly #pages = new Map<string, Page[]>();

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** Takes a free address of a family; undefined where the network has no subnet of it. Throws `conflict` when all are in use. */
  take(network: NetworkRow, family: 4 | 6): string | undefined {
    const pages = this.#pagesOf(network).filter((page) => page.subnet.family === family);
    if (pages.length === 0) return undefined;
    for (const page of pages) {
      const address = nextFree(page);
      if (address !== undefined) return formatAddress(address);
    }
    throw new LighterError("conflict", `${family === 4 ? EXHAUSTED : EXHAUSTED.replace("IPv4", "IPv6")}: ${network.name} (${network.id})`);
  }

  /** Takes the address that was asked for. Throws `invalid` when no subnet of the network has it, `conflict` when it is in use. */
  takeFixed(network: NetworkRow, text: string): string {
    const address = parseAddress(text);
    const page = address === undefined ? undefined : this.#pagesOf(network).find(({ subnet }) => contains(subnet, address));
    if (address === undefined || page === undefined)
      throw new LighterError("invalid", `invalid endpoint settings: no configured subnet contains IP address ${text}`);
    if (page.taken.has(address.value)) throw new LighterError("conflict", "Address already in use");
    page.taken.add(address.value);
    return formatAddress(address);
  }

  /** Gives an address back. */
  free(networkId: string, text: string | undefined): void {
    const address = text === undefined ? undefined : parseAddress(text);
    if (address === undefined) return;
    for (const { subnet, taken } of this.#pages.get(networkId) ?? []) if (subnet.family === address.family) taken.delete(address.value);
  }

  /** Forgets a network, after it was removed or its subnets changed. */
  forget(networkId: string): void {
    this.#pages.delete(networkId);
  }

  /** For inspect: how many addresses of a subnet are in use and free. */
  status(network: NetworkRow): Record<string, { IPsInUse: number; DynamicIPsAvailable: number }> {
    return Object.fromEntries(
      this.#pagesOf(network).map(({ subnet, range, taken }, index) => {
        const fixed = subnet.family === 4 ? 2n : 1n;
        const used = BigInt(taken.size) + fixed;
        const inRange = [...taken].filter((value) => contains(range, { family: range.family, value })).length;
        const whole = subnet.base === range.base && subnet.length === range.length;
        const free = sizeOf(range) - BigInt(inRange) - (whole ? fixed : 0n);
        return [
          network.config.ipam.config[index]?.subnet ?? "",
          { IPsInUse: clamp(used), DynamicIPsAvailable: clamp(free < 0n ? 0n : free) },
        ];
      }),
    );
  }

  #pagesOf(network: NetworkRow): Page[] {
    let pages = this.#pages.get(network.id);
    if (pages === undefined) this.#pages.set(network.id, (pages = this.#read(network)));
    return pages;
  }

  #read(network: NetworkRow): Page[] {
    const places = endpointsOn(this.#reader, network.id);
    return network.config.ipam.config.map((config) => {
      const subnet = parseSubnet(config.subnet);
      const range = config.ipRange === undefined ? subnet : parseSubnet(config.ipRange);
      const known = [config.gateway, ...Object.values(config.auxAddresses ?? {})];
      const held = places.map((place) => (subnet.family === 4 ? place.address4 : place.address6));
      const taken = new Set<bigint>();
      for (const text of [...known, ...held]) {
        const address = text === undefined ? undefined : parseAddress(text);
        if (address !== undefined) taken.add(address.value);
      }
      return { subnet, range, taken, next: range.base };
    });
  }
}

function nextFree(page: Page): Address | undefined {
  const { subnet, range, taken } = page;
  const end = range.base + sizeOf(range);
  const last = subnet.base + sizeOf(subnet) - 1n;
  const usable = (value: bigint): boolean => {
    if (taken.has(value) || value === subnet.base) return false;
    return !(subnet.family === 4 && subnet.length < 31 && value === last);
  };
  const room = BigInt(taken.size) + 3n;
  const tries = sizeOf(range) < room ? sizeOf(range) : room;
  for (let tried = 0n; tried < tries + 1n; tried++) {
    const value = page.next >= end ? range.base : page.next;
    page.next = value + 1n;
    if (!usable(value)) continue;
    taken.add(value);
    return { family: subnet.family, value };
  }
  return undefined;
}

function clamp(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}
