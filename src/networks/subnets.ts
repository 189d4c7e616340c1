import { LighterError } from "../base/errors.ts";
import { type Subnet, formatSubnet, overlaps, parseSubnet, sizeOf, width } from "./addresses.ts";
import type { Survey } from "./jobs.ts";
import type { AddressPool } from "./pools.ts";
import type { NetworkRow } from "./rows.ts";

/**
 * Docker's pools: the default bridge gets the first, networks made later the next ones; they end after 31. Where Docker would refuse the next network, ours go
 * on in a part of 10.0.0.0/8 that few use.
 */
export const DEFAULT_ADDRESS_POOLS: readonly AddressPool[] = [
  { base: "172.17.0.0/16", size: 16 },
  { base: "172.18.0.0/16", size: 16 },
  { base: "172.19.0.0/16", size: 16 },
  { base: "172.20.0.0/14", size: 16 },
  { base: "172.24.0.0/14", size: 16 },
  { base: "172.28.0.0/14", size: 16 },
  { base: "192.168.0.0/16", size: 20 },
  { base: "10.192.0.0/10", size: 24 },
];

/** What no new subnet may overlap: addresses and routes of the host (but for those of `except`'s links), and the other networks' subnets. */
export function takenSubnets(survey: Survey, networks: readonly NetworkRow[], except: readonly string[] = []): Subnet[] {
  const host = survey.taken.filter(({ link }) => !except.includes(link)).map(({ subnet }) => parseSubnet(subnet));
  const own = networks
    .filter(({ config }) => config.configOnly !== true)
    .flatMap(({ config }) => config.ipam.config.map(({ subnet }) => parseSubnet(subnet)));
  return [...host.filter(({ length }) => length > 0), ...own];
}

/** The first subnet of a family's pools that overlaps nothing. Throws `conflict` when there is none. */
export function chooseSubnet(pools: readonly AddressPool[], taken: readonly Subnet[], family: 4 | 6 = 4): Subnet {
  for (const pool of pools) {
    const base = parseSubnet(pool.base);
    const found = base.family === family ? firstGap(base, pool.size, taken) : undefined;
    if (found !== undefined) return found;
  }
  const all = pools.map(({ base, size }) => `${base} (in pieces of /${size})`).join(", ");
  throw new LighterError(
    "conflict",
    `all predefined address pools have been fully subnetted: nothing is free in ${all}: remove networks that are not used (network prune), ` +
      'give a --subnet, or add a pool to "default-address-pools" in daemon.json',
  );
}

/** Goes over what is taken in rising order: a piece that overlaps something is followed by the first one behind that. */
function firstGap(pool: Subnet, size: number, taken: readonly Subnet[]): Subnet | undefined {
  const step = 1n << BigInt(width(pool.family) - size);
  const inside = taken.filter((other) => overlaps(pool, other)).sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0));
  let at = pool.base;
  for (const other of inside) {
    if (other.base >= at + step) break;
    const behind = other.base + sizeOf(other);
    if (behind > at) at = ((behind + step - 1n) / step) * step;
  }
  return at < pool.base + sizeOf(pool) ? { family: pool.family, base: at, length: size } : undefined;
}

/** A subnet of unique local IPv6 addresses for a network that names none: from its id, as RFC 4193 wants them random. */
export function localSubnet6(networkId: string): string {
  return formatSubnet({ family: 6, base: (0xfdn << 120n) | (BigInt(`0x${networkId.slice(0, 14)}`) << 64n), length: 64 });
}

/** The MTU of the link that the default route leaves by; 1500 without one. */
export function egressMtu(survey: Survey): number {
  const ways = survey.taken.filter(({ subnet }) => subnet === "0.0.0.0/0" || subnet === "::/0").sort((a, b) => a.priority - b.priority);
  const mtu = survey.links.find(({ name }) => name === ways[0]?.link)?.mtu ?? 1500;
  return mtu >= 1280 && mtu <= 9216 ? mtu : 1500;
}
