import type { Netlink } from "../linux/netlink.ts";
import {
  type Element,
  type Expression,
  KEY,
  NFPROTO,
  NftBatch,
  compare,
  fields,
  ifname,
  load,
  lookup,
  mask,
  masquerade,
  native32,
  verdict,
} from "../linux/nft.ts";
import { type Subnet, addressBytes, parseSubnet, sizeOf, width } from "./addresses.ts";

/** A network as the rules see it. */
export interface NetworkRules {
  bridge: string;
  /** In CIDR form, one a family at most. */
  subnets: string[];
  masquerade: boolean;
  internal: boolean;
  /** Whether containers of the network may talk to each other. */
  icc: boolean;
  /** Families whose every port is open to who can route there. */
  open: (4 | 6)[];
  /** Families whose packets leave and arrive with the containers' own addresses, at published ports alone. */
  routed: (4 | 6)[];
  /** Links of the host that may reach containers at their own addresses. */
  trusted: string[];
}

const IPS_DST_NAT = native32(1 << 5);
const ESTABLISHED_OR_RELATED = native32(2 | 4);
const ZERO = native32(0);
const FAMILIES = [4, 6] as const;
const ICMP = { 4: Uint8Array.of(1), 6: Uint8Array.of(58) } as const;

/** Goes on for packets of one family. */
export const isFamily = (family: 4 | 6): Expression[] => [
  load.family(),
  compare(Uint8Array.of(family === 4 ? NFPROTO.ipv4 : NFPROTO.ipv6)),
];

/** Goes on for packets of connections that a published port was translated for. */
export const wasPublished: readonly Expression[] = [load.ctStatus(), mask(IPS_DST_NAT), compare(ZERO, { not: true })];

/** Goes on when the first register is inside of a subnet. */
export function inSubnet(subnet: Subnet): Expression[] {
  const bits = width(subnet.family);
  const ones = ((1n << BigInt(subnet.length)) - 1n) << BigInt(bits - subnet.length);
  const bytes = (value: bigint): Uint8Array => addressBytes({ family: subnet.family, value });
  return [mask(bytes(ones)), compare(bytes(subnet.base))];
}

/**
 * Declares what the rules of networks look into, so that the rules are the same few however many networks there are: `bridges` has them all, `pairs` each with
 * itself, `talk` which links may open connections into which bridge, `inner` the internal ones; `own4` and `own6` have bridge and subnet, `hidden4` and
 * `hidden6` the subnets that go out with the host's address, `open4` and `open6` the bridges that are open to all, `routed4` and `routed6` those that are so
 * at the ports in `direct4` and `direct6`.
 */
export function declareNetworks(batch: NftBatch): void {
  for (const name of ["bridges", "inner"]) batch.set({ name, key: [KEY.ifname] });
  for (const name of ["pairs", "talk"]) batch.set({ name, key: [KEY.ifname, KEY.ifname] });
  for (const family of FAMILIES) {
    const address = family === 4 ? KEY.ipv4 : KEY.ipv6;
    batch.set({ name: `own${family}`, key: [KEY.ifname, address], ranges: true });
    batch.set({ name: `hidden${family}`, key: [address], ranges: true });
    batch.set({ name: `open${family}`, key: [KEY.ifname] });
    batch.set({ name: `routed${family}`, key: [KEY.ifname] });
    batch.set({ name: `direct${family}`, key: [address, KEY.protocol, KEY.port] });
  }
}

/** The rules of the chains `outward` and `between`. */
export function networkRules(batch: NftBatch): void {
  outwardRules(batch);
  betweenRules(batch);
}

function outwardRules(batch: NftBatch): void {
  const loopback = [...isFamily(4), load.source(4), ...inSubnet(parseSubnet("127.0.0.0/8"))];
  batch.rule("outward", load.oifname(), lookup("bridges"), ...loopback, masquerade());
  for (const family of FAMILIES) {
    const own = [...isFamily(family), load.oifname(), load.source(family, 4), lookup(`own${family}`)];
    batch.rule("outward", ...own, ...wasPublished, masquerade());
    batch.rule("outward", ...own, verdict("return"));
    batch.rule("outward", ...isFamily(family), load.source(family), lookup(`hidden${family}`), masquerade());
  }
}

/** What is known or leads out is through after a look or two: every packet passes here. */
function betweenRules(batch: NftBatch): void {
  const fromTo = [load.iifname(), load.oifname(4)];
  batch.rule("between", load.ctState(), mask(ESTABLISHED_OR_RELATED), compare(ZERO, { not: true }), verdict("accept"));
  for (const end of [load.iifname(), load.oifname()])
    batch.rule("between", end, lookup("inner"), ...fromTo, lookup("pairs", { not: true }), verdict("drop"));
  batch.rule("between", load.oifname(), lookup("bridges", { not: true }), verdict("accept"));
  batch.rule("between", ...wasPublished, verdict("accept"));
  batch.rule("between", ...fromTo, lookup("talk"), verdict("accept"));
  for (const family of FAMILIES) {
    batch.rule("between", ...isFamily(family), load.oifname(), lookup(`open${family}`), verdict("accept"));
    const words = width(family) / 32;
    const direct = [load.destination(family), load.protocol(words), load.destinationPort(words + 1), lookup(`direct${family}`)];
    batch.rule("between", ...isFamily(family), ...direct, verdict("accept"));
    batch.rule("between", load.oifname(), lookup(`routed${family}`), load.protocol(), compare(ICMP[family]), verdict("accept"));
  }
  // With a condition, so that nobody takes it for a chain that drops all that others want to pass.
  batch.rule("between", load.oifname(), lookup("bridges"), verdict("drop"));
}

/** Puts networks into the sets. */
export function addNetworks(batch: NftBatch, networks: readonly NetworkRules[]): void {
  for (const [set, elements] of networkElements(networks)) batch.elements(set, elements);
}

/** Adds networks to the table or takes them away, in one batch. Throws when the table is not as it was left, and then nothing was changed. */
export function changeNetworks(socket: Netlink, table: string, change: { add?: NetworkRules[]; remove?: NetworkRules[] }): void {
  const batch = new NftBatch(table);
  for (const [set, elements] of networkElements(change.remove ?? [])) batch.deleteElements(set, elements);
  addNetworks(batch, change.add ?? []);
  batch.commit(socket);
}

function networkElements(networks: readonly NetworkRules[]): Map<string, Element[]> {
  const found = new Map<string, Element[]>();
  const put = (set: string, ...elements: Element[]): void => void found.set(set, [...(found.get(set) ?? []), ...elements]);
  for (const network of networks) {
    const bridge = ifname(network.bridge);
    const pair = { key: fields(bridge, bridge) };
    put("bridges", { key: bridge });
    put("pairs", pair);
    if (network.icc) put("talk", pair);
    for (const link of network.trusted) put("talk", { key: fields(ifname(link), bridge) });
    for (const family of network.open) put(`open${family}`, { key: bridge });
    for (const family of network.routed) put(`routed${family}`, { key: bridge });
    if (network.internal) put("inner", { key: bridge });
    for (const subnet of network.subnets.map(parseSubnet)) {
      const [first, last] = ends(subnet);
      put(`own${subnet.family}`, { key: fields(bridge, first), last: fields(bridge, last) });
      if (network.masquerade && !network.internal && !network.routed.includes(subnet.family))
        put(`hidden${subnet.family}`, ...rangeOf(subnet));
    }
  }
  return found;
}

function ends(subnet: Subnet): [first: Uint8Array, last: Uint8Array] {
  const bytes = (value: bigint): Uint8Array => addressBytes({ family: subnet.family, value });
  return [bytes(subnet.base), bytes(subnet.base + sizeOf(subnet) - 1n)];
}

/** A subnet in a set of one field; one that goes to the end of all addresses has no end. */
function rangeOf(subnet: Subnet): Element[] {
  const behind = subnet.base + sizeOf(subnet);
  const [first] = ends(subnet);
  if (behind >> BigInt(width(subnet.family)) > 0n) return [{ key: first }];
  return [{ key: first }, { key: addressBytes({ family: subnet.family, value: behind }), isEnd: true }];
}
