import { LighterError } from "../base/errors.ts";
import { type Subnet, formatSubnet, overlaps, parseSubnet, sizeOf, width } from "./addresses.ts";
import type { Survey } from "./jobs.ts";
import type { NetworkRow } from "./rows.ts";

/** Docker's pools: the default bridge gets the first, networks made later the next ones. */
export const DEFAULT_ADDRESS_POOLS: readonly { base: string; size: number }[] = [
  { base: "172.17.0.0/16", size: 16 },
  { base: "172.18.0.0/16", size: 16 },
  { base: "172.19.0.0/16", size: 16 },
  { base: "172.20.0.0/14", size: 16 },
  { base: "172.24.0.0/14", size: 16 },
  { base: "172.28.0.0/14", size: 16 },
  { base: "192.168.0.0/16", size: 20 },
];

/** What no new subnet may overlap: addresses and routes of the host (but for those of `except`'s links), and the other networks' subnets. */
export function takenSubnets(survey: Survey, networks: readonly NetworkRow[], except: readonly string[] = []): Subnet[] {
  const host = survey.taken.filter(({ link }) => !except.includes(link)).map(({ subnet }) => parseSubnet(subnet));
  const own = networks.flatMap(({ config }) => config.ipam.config.map(({ subnet }) => parseSubnet(subnet)));
  return [...host.filter(({ length }) => length > 0), ...own];
}

/** The first subnet of the pools that overlaps nothing. Throws `conflict` when there is none. */
export function chooseSubnet(pools: readonly { base: string; size: number }[], taken: readonly Subnet[]): Subnet {
  for (const pool of pools) {
    const base = parseSubnet(pool.base);
    const step = 1n << BigInt(width(base.family) - pool.size);
    for (let at = base.base; at < base.base + sizeOf(base); at += step) {
      const subnet: Subnet = { family: base.family, base: at, length: pool.size };
      if (!taken.some((other) => overlaps(subnet, other))) return subnet;
    }
  }
  throw new LighterError(
    "conflict",
    "all predefined address pools have been fully subnetted: remove networks that are not used, give --subnet, or widen the daemon's default-address-pools",
  );
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
