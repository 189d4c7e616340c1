import type { Netlink } from "../linux/netlink.ts";
import { between, etherType, limit, logTo, networkBytes, reject, transportBytes } from "../linux/nft-judge.ts";
import {
  type Element,
  type Expression,
  HOOK,
  KEY,
  NFPROTO,
  NftBatch,
  compare,
  fields,
  ifname,
  load,
  lookup,
  mask,
  native32,
  portBytes,
  verdict,
} from "../linux/nft.ts";
import { addressBytes, parseAddress, parseSubnet, sizeOf } from "./addresses.ts";
import { type EgressPorts, portsKey } from "./egress-rules.ts";
import { isFamily } from "./network-rules.ts";

/** A container's place in a network whose ways out are limited. */
export interface EgressPlace {
  /** The host's end of its wire. */
  hostName: string;
  addresses: string[];
  /** The subnets of its network, whose members it reaches. */
  near: string[];
  /** Subnets that it may reach; one a port specification at most where they overlap. */
  ranges: (EgressPorts & { subnet: string })[];
  /** Through which ports names are allowed. */
  named: EgressPorts[];
}

/** An address that a name has, allowed for a time to a place by its own address. */
export interface EgressAddress extends EgressPorts {
  from: string;
  address: string;
  /** Milliseconds from now. */
  timeout: number;
}

/** All that the tables say; `group` is where refused packets are told (nfnetlink_log). */
export interface EgressModel {
  places: EgressPlace[];
  addresses: EgressAddress[];
  group: number;
}

const FAMILIES = [4, 6] as const;
const ADDRESS = { 4: KEY.ipv4, 6: KEY.ipv6 } as const;
const ESTABLISHED_OR_RELATED = native32(2 | 4);
const NEW = native32(8);
const ZERO = native32(0);
/** Where a TCP header has its flags, and the one that begins a connection. */
const FLAGS = 13;
const SYN = Uint8Array.of(2);
/** Kinds of destinations (`RTN_*`). */
const KIND = { unicast: native32(1), local: native32(2), broadcast: native32(3), multicast: native32(5) } as const;
const PROTOCOL = { tcp: 6, udp: 17, sctp: 132, icmp: { 4: 1, 6: 58 } } as const;
const ICMP6 = Uint8Array.of(PROTOCOL.icmp[6]);
/** Neighbour discovery (RFC 4861). Linux passes it on as any other packet: only what goes to this host or to the link is meant for it. */
const NEIGHBOURS = [Uint8Array.of(133), Uint8Array.of(137)] as const;
const ETHERTYPE = { 4: Uint8Array.of(0x08, 0x00), 6: Uint8Array.of(0x86, 0xdd), arp: Uint8Array.of(0x08, 0x06) } as const;
const LINK_LOCAL = Uint8Array.of(0xfe, 0x80);
const LINK_LOCAL_AND_GROUPS = [LINK_LOCAL, Uint8Array.of(0xff, 0x02)] as const;
/** Refused packets a second that are told, and how much of each: its addresses and ports. */
const TOLD = 100;
const TOLD_BYTES = 64;
/** The most addresses that names have at once. */
const MOST_ADDRESSES = 65_536;

/**
 * Writes what limits containers' ways out, in tables of its own that nothing else is in, as a whole and at once. The chain `ways` judges what leaves a limited place for anything but its own network, before published ports are looked at, and with
 * `hosts` drops what is no beginning and belongs to nothing known; the table of the bridges lets no limited place send with addresses that are not its own. With no place the tables go.
 */
export function writeEgress(socket: Netlink, table: string, model: EgressModel): void {
  const ways = new NftBatch(table);
  const own = new NftBatch(table, NFPROTO.bridge);
  for (const batch of [ways, own]) batch.addTable();
  if (model.places.length === 0) for (const batch of [ways, own]) batch.deleteTable();
  else {
    writeWays(ways, model);
    writeOwn(own, model.places);
  }
  // The guard against foreign addresses first: what is not guarded is not open.
  own.commit(socket);
  ways.commit(socket);
}

/** Allows addresses for a time, from the time of this call on. Throws when the tables are not as they were left. */
export function allowAddresses(socket: Netlink, table: string, addresses: readonly EgressAddress[]): void {
  const batch = new NftBatch(table);
  for (const [set, elements] of addressElements(addresses)) {
    // Kernels before 6.12 keep the old time of an element that is there: it is made, taken away and made anew, all at once.
    batch.elements(set, elements);
    batch.deleteElements(set, elements);
    batch.elements(set, elements);
  }
  batch.commit(socket);
}

function writeWays(batch: NftBatch, model: EgressModel): void {
  const ports = new Map(model.places.flatMap((place) => [...place.ranges, ...place.named]).map((one) => [portsKey(one), one]));
  for (const family of FAMILIES) {
    batch.set({ name: `limited${family}`, key: [ADDRESS[family]] });
    batch.set({ name: `near${family}`, key: [ADDRESS[family], ADDRESS[family]], ranges: true });
    for (const key of ports.keys()) {
      batch.set({ name: `to${family}_${key}`, key: [ADDRESS[family], ADDRESS[family]], ranges: true });
      batch.set({ name: `named${family}_${key}`, key: [ADDRESS[family], ADDRESS[family]], timeout: true, size: MOST_ADDRESSES });
    }
  }
  batch.set({ name: "ports", key: [KEY.ifname] });
  batch.chain({ name: "judge" });
  batch.chain({ name: "ways", type: "filter", hook: HOOK.prerouting, priority: -150 });
  batch.chain({ name: "hosts", type: "filter", hook: HOOK.output, priority: -150 });
  for (const chain of ["judge", "ways", "hosts"]) batch.emptyChain(chain);
  batch.emptySet("ports");
  // Frames to groups that bridges keep to themselves (01:80:c2:00:00:0x) come past the bridge's own table, by the port as such.
  batch.rule("ways", load.iifname(), lookup("ports"), verdict("drop"));
  for (const family of FAMILIES) {
    batch.rule("ways", ...isFamily(family), load.source(family), lookup(`limited${family}`), verdict({ jump: "judge" }));
    const sets = [...ports.keys()].flatMap((key) => [`to${family}_${key}`, `named${family}_${key}`]);
    for (const name of [`limited${family}`, `near${family}`, ...sets]) batch.emptySet(name);
  }
  for (const chain of ["ways", "hosts"]) strayRules(batch, chain);
  judgeRules(batch, [...ports.values()], model.group);
  for (const [set, elements] of placeElements(model.places)) batch.elements(set, elements);
  for (const [set, elements] of addressElements(model.addresses)) batch.elements(set, elements);
}

/** Nothing begins in the middle: the kernel would take what the other side of a connection that was ended goes on sending for one that comes in, and answers are let through. */
function strayRules(batch: NftBatch, chain: string): void {
  const middle = [load.protocol(), compare(Uint8Array.of(PROTOCOL.tcp)), transportBytes(FLAGS, 1), mask(SYN), compare(Uint8Array.of(0))];
  for (const family of FAMILIES) {
    const limited = [...isFamily(family), load.destination(family), lookup(`limited${family}`)];
    batch.rule(chain, load.ctState(), mask(NEW), compare(ZERO, { not: true }), ...middle, ...limited, verdict("drop"));
  }
}

function judgeRules(batch: NftBatch, ports: EgressPorts[], group: number): void {
  batch.rule("judge", load.ctState(), mask(ESTABLISHED_OR_RELATED), compare(ZERO, { not: true }), verdict("accept"));
  const discovery = [load.protocol(), compare(ICMP6), transportBytes(0, 1), between(...NEIGHBOURS)];
  batch.rule("judge", ...discovery, load.destinationType(), compare(KIND.local), verdict("accept"));
  for (const start of LINK_LOCAL_AND_GROUPS) batch.rule("judge", ...discovery, networkBytes(24, 2), compare(start), verdict("accept"));
  for (const family of FAMILIES) {
    const words = family === 4 ? 1 : 4;
    const near = [load.source(family), load.destination(family, words), lookup(`near${family}`)];
    // Not "not this host": its network's broadcast and anycast addresses mean the host, too.
    batch.rule("judge", load.destinationType(), compare(KIND.unicast), ...isFamily(family), ...near, verdict("accept"));
  }
  for (const one of ports) {
    for (const family of FAMILIES) {
      for (const set of ["to", "named"]) {
        const pair = [load.source(family), load.destination(family, family === 4 ? 1 : 4)];
        batch.rule(
          "judge",
          ...isFamily(family),
          ...throughPorts(one, family),
          ...pair,
          lookup(`${set}${family}_${portsKey(one)}`),
          verdict("accept"),
        );
      }
    }
  }
  for (const kind of [KIND.multicast, KIND.broadcast]) batch.rule("judge", load.destinationType(), compare(kind), verdict("drop"));
  batch.rule("judge", limit(TOLD), logTo(group, TOLD_BYTES));
  batch.rule("judge", reject());
}

function throughPorts({ protocol, ports }: EgressPorts, family: 4 | 6): Expression[] {
  if (protocol === undefined) return [];
  const number = protocol === "icmp" ? PROTOCOL.icmp[family] : PROTOCOL[protocol];
  const range = ports === undefined ? [] : [load.destinationPort(), between(portBytes(ports[0]), portBytes(ports[1]))];
  return [load.protocol(), compare(Uint8Array.of(number)), ...range];
}

/** Frames of limited places pass with their own addresses alone; neighbour discovery is spoken with others, too (RFC 4861, 4862). */
function writeOwn(batch: NftBatch, places: readonly EgressPlace[]): void {
  batch.set({ name: "limited", key: [KEY.ifname] });
  for (const family of FAMILIES) batch.set({ name: `own${family}`, key: [KEY.ifname, ADDRESS[family]] });
  batch.chain({ name: "judge" });
  batch.chain({ name: "own", type: "filter", hook: HOOK.prerouting, priority: -300 });
  for (const chain of ["judge", "own"]) batch.emptyChain(chain);
  for (const set of ["limited", "own4", "own6"]) batch.emptySet(set);
  batch.rule("own", load.iifname(), lookup("limited"), verdict({ jump: "judge" }));
  const link = load.iifname();
  batch.rule("judge", etherType(), compare(ETHERTYPE[4]), link, load.source(4, 4), lookup("own4"), verdict("accept"));
  batch.rule("judge", etherType(), compare(ETHERTYPE.arp), link, networkBytes(14, 4, 4), lookup("own4"), verdict("accept"));
  batch.rule("judge", etherType(), compare(ETHERTYPE.arp), networkBytes(14, 4), compare(ZERO), verdict("accept"));
  batch.rule("judge", etherType(), compare(ETHERTYPE[6]), link, load.source(6, 4), lookup("own6"), verdict("accept"));
  for (const start of [
    [networkBytes(8, 2), compare(LINK_LOCAL)],
    [load.source(6), compare(new Uint8Array(16))],
  ])
    batch.rule("judge", etherType(), compare(ETHERTYPE[6]), ...start, load.protocol(), compare(ICMP6), verdict("accept"));
  batch.rule("judge", verdict("drop"));
  for (const { hostName, addresses } of places) {
    batch.elements("limited", [{ key: ifname(hostName) }]);
    for (const { family, bytes } of addresses.flatMap(bytesOf)) batch.elements(`own${family}`, [{ key: fields(ifname(hostName), bytes) }]);
  }
}

function placeElements(places: readonly EgressPlace[]): Map<string, Element[]> {
  const found = new Map<string, Element[]>();
  const put = (set: string, element: Element): void => void found.set(set, [...(found.get(set) ?? []), element]);
  for (const { hostName, addresses, near, ranges } of places) {
    put("ports", { key: ifname(hostName) });
    for (const { family, bytes } of addresses.flatMap(bytesOf)) {
      put(`limited${family}`, { key: bytes });
      const reach = (set: string, text: string): void => {
        const subnet = ends(text);
        if (subnet.family === family) put(set, { key: fields(bytes, subnet.first), last: fields(bytes, subnet.last) });
      };
      for (const subnet of near) reach(`near${family}`, subnet);
      for (const range of ranges) reach(`to${family}_${portsKey(range)}`, range.subnet);
    }
  }
  return found;
}

function addressElements(addresses: readonly EgressAddress[]): Map<string, Element[]> {
  const found = new Map<string, Element[]>();
  for (const { from, address, timeout, ...ports } of addresses) {
    const [source, target] = [from, address].flatMap(bytesOf);
    if (source === undefined || source.family !== target?.family) continue;
    const set = `named${source.family}_${portsKey(ports)}`;
    found.set(set, [...(found.get(set) ?? []), { key: fields(source.bytes, target.bytes), timeout }]);
  }
  return found;
}

function bytesOf(text: string): { family: 4 | 6; bytes: Uint8Array }[] {
  const address = parseAddress(text);
  return address === undefined ? [] : [{ family: address.family, bytes: addressBytes(address) }];
}

function ends(text: string): { family: 4 | 6; first: Uint8Array; last: Uint8Array } {
  const subnet = parseSubnet(text);
  const { family, base } = subnet;
  const bytes = (value: bigint): Uint8Array => addressBytes({ family, value });
  return { family, first: bytes(base), last: bytes(base + sizeOf(subnet) - 1n) };
}
