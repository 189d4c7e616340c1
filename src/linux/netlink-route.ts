import {
  NETLINK_ROUTE,
  NLM_F,
  Netlink,
  type NetlinkMessage,
  attribute,
  attributes,
  nest,
  numberOf,
  text,
  textOf,
  u16,
  u32,
  u8,
} from "./netlink.ts";

/** Message types and attributes of rtnetlink: linux/rtnetlink.h, if_link.h, if_addr.h. */
const RTM = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
  newRoute: 24,
  getRoute: 26,
};
const IFLA = {
  address: 1,
  ifname: 3,
  mtu: 4,
  link: 5,
  master: 10,
  protinfo: 12,
  operstate: 16,
  linkinfo: 18,
  afSpec: 26,
  group: 27,
  netnsFd: 28,
  kind: 1,
  data: 2,
  vethPeer: 1,
  vlanId: 1,
  childMode: 1,
  childFlags: 2,
  brportHairpin: 4,
  brportIsolated: 33,
  inet6AddrGenMode: 8,
};
const IFA = { address: 1, local: 2, broadcast: 4, flags: 8 };
const RTA = { dst: 1, oif: 4, gateway: 5, priority: 6, table: 15 };
const AF_INET = 2;
const AF_INET6 = 10;
const AF_BRIDGE = 7;
const IFF_UP = 1;
const IF_OPER_UP = 6;
const RTN_UNICAST = 1;
const RTPROT_BOOT = 3;
const RT_TABLE_MAIN = 254;
const RT_SCOPE_LINK = 253;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IFA_F_NODAD = 2;

/** A link of the host or of a namespace. */
export interface Link {
  index: number;
  name: string;
  kind: string;
  mtu: number;
  up: boolean;
  /** Whether it carries packets: it is up, so is its other end, and the kernel has taken notice, which happens a little later on a thread of its own. */
  operational: boolean;
  /** The index of the bridge that it is a port of; 0 for none. */
  master: number;
  address: Uint8Array;
}

/** An address or a route's destination: the network part is not masked. */
export interface Prefix {
  family: 4 | 6;
  bytes: Uint8Array;
  length: number;
}

/** A route of any table. */
export interface Route extends Prefix {
  /** The index of the link it leaves by, 0 for none. */
  link: number;
  priority: number;
  table: number;
  gateway: boolean;
}

function ifinfo(index: number, options: { up?: boolean; family?: number } = {}): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, options.family ?? 0);
  view.setInt32(4, index, true);
  if (options.up === true) {
    view.setUint32(8, IFF_UP, true);
    view.setUint32(12, IFF_UP, true);
  }
  return bytes;
}

function message(type: number, flags: number, ...parts: Uint8Array[]): NetlinkMessage {
  return { type, flags, body: Buffer.concat(parts) };
}

/** Makes a bridge, up from the start, with a MAC of its own (else it would change with its ports) and no IPv6 address made up by the kernel. */
export function newBridge(options: { name: string; mac: Uint8Array; mtu: number }): NetlinkMessage {
  const kind = nest(IFLA.linkinfo, text(IFLA.kind, "bridge"));
  return message(
    RTM.newLink,
    NLM_F.ack | NLM_F.create | NLM_F.excl,
    ifinfo(0),
    text(IFLA.ifname, options.name),
    attribute(IFLA.address, options.mac),
    u32(IFLA.mtu, options.mtu),
    kind,
  );
}

/**
 * Makes a pair of veth links: one here, as a port of the bridge `master`, the other directly in the namespace of descriptor `namespace`.
 * Both are down.
 */
export function newVeth(options: {
  name: string;
  master: number;
  mtu: number;
  peer: { name: string; mac: Uint8Array; namespace: number };
}): NetlinkMessage {
  const { peer } = options;
  const data = nest(
    IFLA.vethPeer,
    ifinfo(0),
    text(IFLA.ifname, peer.name),
    attribute(IFLA.address, peer.mac),
    u32(IFLA.mtu, options.mtu),
    u32(IFLA.netnsFd, peer.namespace),
  );
  return message(
    RTM.newLink,
    NLM_F.ack | NLM_F.create | NLM_F.excl,
    ifinfo(0),
    text(IFLA.ifname, options.name),
    u32(IFLA.mtu, options.mtu),
    u32(IFLA.master, options.master),
    nest(IFLA.linkinfo, text(IFLA.kind, "veth"), nest(IFLA.data, data)),
  );
}

/**
 * Makes an interface directly in the namespace of descriptor `namespace`, on the link `parent` of the calling namespace: it shares that link, with a MAC
 * of its own (macvlan) or the parent's (ipvlan).
 */
export function newChild(options: {
  kind: "macvlan" | "ipvlan";
  name: string;
  parent: number;
  mode: number;
  flag?: number;
  mac: Uint8Array | undefined;
  /** 0 for the parent's. */
  mtu: number;
  namespace: number;
}): NetlinkMessage {
  const { kind, mode, mac, mtu } = options;
  const data = kind === "macvlan" ? [u32(IFLA.childMode, mode)] : [u16(IFLA.childMode, mode), u16(IFLA.childFlags, options.flag ?? 0)];
  return message(
    RTM.newLink,
    NLM_F.ack | NLM_F.create | NLM_F.excl,
    ifinfo(0),
    text(IFLA.ifname, options.name),
    u32(IFLA.link, options.parent),
    u32(IFLA.netnsFd, options.namespace),
    ...(mac === undefined ? [] : [attribute(IFLA.address, mac)]),
    ...(mtu === 0 ? [] : [u32(IFLA.mtu, mtu)]),
    nest(IFLA.linkinfo, text(IFLA.kind, kind), nest(IFLA.data, ...data)),
  );
}

/** Makes a VLAN of the given id (IEEE 802.1Q) on the link `below`. */
export function newVlan({ name, below, id }: { name: string; below: number; id: number }): NetlinkMessage {
  const info = nest(IFLA.linkinfo, text(IFLA.kind, "vlan"), nest(IFLA.data, u16(IFLA.vlanId, id)));
  return message(RTM.newLink, NLM_F.ack | NLM_F.create | NLM_F.excl, ifinfo(0), text(IFLA.ifname, name), u32(IFLA.link, below), info);
}

/** Makes a link that leads nowhere. */
export function newDummy(name: string): NetlinkMessage {
  const info = nest(IFLA.linkinfo, text(IFLA.kind, "dummy"));
  return message(RTM.newLink, NLM_F.ack | NLM_F.create | NLM_F.excl, ifinfo(0), text(IFLA.ifname, name), info);
}

/** Sets a link up, by index or by name. */
export function linkUp(link: number | string): NetlinkMessage {
  return typeof link === "number"
    ? message(RTM.setLink, NLM_F.ack, ifinfo(link, { up: true }))
    : message(RTM.setLink, NLM_F.ack, ifinfo(0, { up: true }), text(IFLA.ifname, link));
}

/** Keeps the kernel from giving a link an IPv6 link-local address (ports of a bridge need none, and its checks cost time). */
export function withoutLinkLocal(link: string): NetlinkMessage {
  const spec = nest(IFLA.afSpec, nest(AF_INET6, u8(IFLA.inet6AddrGenMode, IN6_ADDR_GEN_MODE_NONE)));
  return message(RTM.setLink, NLM_F.ack, ifinfo(0), text(IFLA.ifname, link), spec);
}

/** Changes the MTU of a link. */
export function setMtu(link: string, mtu: number): NetlinkMessage {
  return message(RTM.setLink, NLM_F.ack, ifinfo(0), text(IFLA.ifname, link), u32(IFLA.mtu, mtu));
}

/** Makes a link a port of a bridge. */
export function setMaster(link: string, master: number): NetlinkMessage {
  return message(RTM.setLink, NLM_F.ack, ifinfo(0), text(IFLA.ifname, link), u32(IFLA.master, master));
}

/** Moves a link into a group, so that {@link deleteGroup} can delete many at once. */
export function setGroup(link: string, group: number): NetlinkMessage {
  return message(RTM.setLink, NLM_F.ack, ifinfo(0), text(IFLA.ifname, link), u32(IFLA.group, group));
}

/** Deletes every link of a group in one go. */
export function deleteGroup(group: number): NetlinkMessage {
  return message(RTM.delLink, NLM_F.ack, ifinfo(0), u32(IFLA.group, group));
}

/**
 * Sets flags of a bridge port. Isolated, it reaches the bridge itself, not the other isolated ports (`enable_icc=false`); with hairpin, frames may
 * leave by the port that they came from.
 */
export function setPort(index: number, flags: { isolated: boolean; hairpin: boolean }): NetlinkMessage {
  const parts = [u8(IFLA.brportHairpin, Number(flags.hairpin)), u8(IFLA.brportIsolated, Number(flags.isolated))];
  return message(RTM.setLink, NLM_F.ack, ifinfo(index, { family: AF_BRIDGE }), nest(IFLA.protinfo, ...parts));
}

/** Deletes a link by name; a veth's other end goes with it. */
export function deleteLink(name: string): NetlinkMessage {
  return message(RTM.delLink, NLM_F.ack, ifinfo(0), text(IFLA.ifname, name));
}

/** Asks for one link by name. */
export function getLink(name: string): NetlinkMessage {
  return message(RTM.getLink, NLM_F.ack, ifinfo(0), text(IFLA.ifname, name));
}

/** Gives a link an address; IPv6 ones skip duplicate address detection, as every address here is given out by us. */
export function addAddress(link: number, prefix: Prefix): NetlinkMessage {
  const header = Uint8Array.of(prefix.family === 4 ? AF_INET : AF_INET6, prefix.length, 0, 0, 0, 0, 0, 0);
  new DataView(header.buffer).setUint32(4, link, true);
  const parts = [attribute(IFA.local, prefix.bytes), attribute(IFA.address, prefix.bytes)];
  if (prefix.family === 4 && prefix.length < 31) parts.push(attribute(IFA.broadcast, broadcast(prefix)));
  if (prefix.family === 6) parts.push(u32(IFA.flags, IFA_F_NODAD));
  return message(RTM.newAddress, NLM_F.ack | NLM_F.create | NLM_F.replace, header, ...parts);
}

/** Takes an address away from a link. */
export function deleteAddress(link: number, prefix: Prefix): NetlinkMessage {
  const header = Uint8Array.of(prefix.family === 4 ? AF_INET : AF_INET6, prefix.length, 0, 0, 0, 0, 0, 0);
  new DataView(header.buffer).setUint32(4, link, true);
  return message(RTM.delAddress, NLM_F.ack, header, attribute(IFA.local, prefix.bytes));
}

function broadcast(prefix: Prefix): Uint8Array {
  const bytes = Uint8Array.from(prefix.bytes);
  for (let bit = prefix.length; bit < 32; bit++) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return bytes;
}

/** Routes everything through a gateway on a link; replaces a default route that is there. */
export function defaultRoute(link: number, gateway: Uint8Array): NetlinkMessage {
  const family = gateway.length === 4 ? AF_INET : AF_INET6;
  const header = Uint8Array.of(family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0, 0, 0, 0);
  return message(RTM.newRoute, NLM_F.ack | NLM_F.create | NLM_F.replace, header, attribute(RTA.gateway, gateway), u32(RTA.oif, link));
}

/** Routes everything of a family out by a link, through no gateway. */
export function directRoute(link: number, family: 4 | 6): NetlinkMessage {
  const scope = family === 4 ? RT_SCOPE_LINK : 0;
  const header = Uint8Array.of(family === 4 ? AF_INET : AF_INET6, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0);
  return message(RTM.newRoute, NLM_F.ack | NLM_F.create | NLM_F.replace, header, u32(RTA.oif, link));
}

/** All links of the socket's namespace. */
export function links(socket: Netlink): Link[] {
  const [answer] = socket.request([message(RTM.getLink, NLM_F.dump, ifinfo(0))], "list links");
  return (answer?.replies ?? []).map((reply) => readLink(reply.body));
}

/** One link by name; undefined where there is none. */
export function findLink(socket: Netlink, name: string): Link | undefined {
  const [answer] = socket.exchange([getLink(name)]);
  const reply = answer?.replies[0];
  return reply === undefined ? undefined : readLink(reply.body);
}

function readLink(body: Uint8Array): Link {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const found = attributes(body, 16);
  const info = found.get(IFLA.linkinfo);
  return {
    index: view.getInt32(4, true),
    up: (view.getUint32(8, true) & IFF_UP) !== 0,
    operational: numberOf(found.get(IFLA.operstate)) === IF_OPER_UP,
    name: textOf(found.get(IFLA.ifname)),
    kind: info === undefined ? "" : textOf(attributes(info).get(IFLA.kind)),
    mtu: numberOf(found.get(IFLA.mtu)),
    master: numberOf(found.get(IFLA.master)),
    address: Uint8Array.from(found.get(IFLA.address) ?? []),
  };
}

/** All addresses of the socket's namespace, each with the index of its link. */
export function addresses(socket: Netlink): (Prefix & { link: number })[] {
  const [answer] = socket.request([message(RTM.getAddress, NLM_F.dump, new Uint8Array(8))], "list addresses");
  return (answer?.replies ?? []).flatMap(({ body }) => {
    const found = attributes(body, 8);
    const bytes = found.get(IFA.local) ?? found.get(IFA.address);
    if (bytes === undefined || (bytes.length !== 4 && bytes.length !== 16)) return [];
    const link = new DataView(body.buffer, body.byteOffset).getUint32(4, true);
    return [{ family: bytes.length === 4 ? (4 as const) : (6 as const), bytes: Uint8Array.from(bytes), length: body[1] ?? 0, link }];
  });
}

/** All unicast routes of the socket's namespace, IPv4 and IPv6, of every table. */
export function routes(socket: Netlink): Route[] {
  const [answer] = socket.request([message(RTM.getRoute, NLM_F.dump, new Uint8Array(12))], "list routes");
  return (answer?.replies ?? []).flatMap(({ body }) => {
    const [family, length = 0, , , table = 0, , , type] = body;
    if (type !== RTN_UNICAST || (family !== AF_INET && family !== AF_INET6)) return [];
    const found = attributes(body, 12);
    const bytes = found.get(RTA.dst) ?? new Uint8Array(family === AF_INET ? 4 : 16);
    return [
      {
        family: family === AF_INET ? (4 as const) : (6 as const),
        bytes: Uint8Array.from(bytes),
        length,
        link: numberOf(found.get(RTA.oif)),
        priority: numberOf(found.get(RTA.priority)),
        table: found.has(RTA.table) ? numberOf(found.get(RTA.table)) : table,
        gateway: found.has(RTA.gateway),
      },
    ];
  });
}

/** A socket for links, addresses and routes in the calling thread's namespace. */
export function openRoute(): Netlink {
  return new Netlink(NETLINK_ROUTE);
}
