import { cstr, errno as lastErrno, libc, systemError } from "../linux/libc.ts";
import { BRIDGE_GROUP } from "./host-gate.ts";
import { inNamespace, newNamespace, openNamespace } from "../linux/in-namespace.ts";
import { NETLINK_ROUTE, Netlink, type NetlinkMessage, openNetlink } from "../linux/netlink.ts";
import {
  type Link,
  type Prefix,
  addAddress,
  addresses,
  defaultRoute,
  directRoute,
  deleteAddress,
  deleteGroup,
  deleteLink,
  findLink,
  linkUp,
  links,
  newBridge,
  newChild,
  newDummy,
  newVeth,
  newVlan,
  routes,
  setGroup,
  setMaster,
  setMtu,
  setPort,
  withoutLinkLocal,
} from "../linux/netlink-route.ts";
import { addressBytes, addressOfBytes, formatSubnet, parseInterface, parseMac, parseAddress, subnetOf } from "./addresses.ts";
import type { BridgeSpec, LinkSpec, Survey, Wire, WireParent } from "./jobs.ts";

/** Group number under which links wait to be deleted together: one at a time costs 22 ms each, 64 in a group 55 ms. */
const DOOMED = 0x6c676874;
const O_WRONLY_CLOEXEC = 0o2000001;
const LOOPBACK = 1;
const NO_GROUP = 0;
/** Names of the host's ends of containers' wires. */
const OUR_LINK = /^lv[0-9a-f]{12}$/;

const NO_IPV6 = cstr("/proc/sys/net/ipv6/conf/default/disable_ipv6");
const BRIDGE_FILTER = cstr("/proc/sys/net/bridge/bridge-nf-call-iptables");
const O_RDONLY_CLOEXEC = 0o2000000;
const ANSWER = new Uint8Array(8);
const ONE = Buffer.from("1");
const ZERO = Buffer.from("0");

/** The host's links, and every subnet that an address or a route of it covers. */
export function survey(route: Netlink): Survey {
  const all = links(route);
  const nameOf = new Map(all.map((link) => [link.index, link.name]));
  const subnet = ({ bytes, length }: Prefix): string => formatSubnet(subnetOf(addressOfBytes(bytes), length));
  return {
    links: all.map(({ index, name, kind, mtu, master }) => ({ index, name, kind, mtu, master })),
    taken: [
      ...addresses(route).map((address) => ({ subnet: subnet(address), link: nameOf.get(address.link) ?? "", priority: 0 })),
      ...routes(route).map((one) => ({ subnet: subnet(one), link: nameOf.get(one.link) ?? "", priority: one.priority })),
    ],
  };
}

/**
 * Makes a bridge or brings one into shape; `outsiders` are ports of somebody's own bridge that lead elsewhere than into containers: then what comes from it is from
 * outside. Throws EEXIST when the name belongs to a link of another kind.
 */
export function ensureBridge(route: Netlink, spec: BridgeSpec): { adopted: boolean; outsiders: string[] } {
  const found = findLink(route, spec.name);
  if (found !== undefined && found.kind !== "bridge")
    throw Object.assign(new Error(`Cannot make bridge "${spec.name}": a link of that name and of kind "${found.kind}" exists`), {
      code: "EEXIST",
    });
  if (found === undefined) {
    const mac = bridgeMac(spec.name);
    route.request([newBridge({ name: spec.name, mac, mtu: spec.mtu }), withoutLinkLocal(spec.name)], `make bridge "${spec.name}"`);
  }
  const bridge = findLink(route, spec.name);
  if (bridge === undefined) throw new Error(`Cannot make bridge "${spec.name}": it is gone again`);
  const wanted = spec.addresses.map(toPrefix);
  const stale = addresses(route).filter(
    (one) => one.link === bridge.index && !isLinkLocal(one) && !wanted.some((other) => same(one, other)),
  );
  const isOurs = found === undefined || Buffer.compare(found.address, bridgeMac(spec.name)) === 0;
  const outsiders = isOurs
    ? []
    : links(route).flatMap(({ name, master }) => (master === bridge.index && !OUR_LINK.test(name) ? [name] : []));
  const messages: NetlinkMessage[] = [
    ...stale.map((one) => deleteAddress(bridge.index, one)),
    ...wanted.map((one) => addAddress(bridge.index, one)),
    linkUp(bridge.index),
    setGroup(spec.name, outsiders.length === 0 ? BRIDGE_GROUP : NO_GROUP),
  ];
  if (bridge.mtu !== spec.mtu) messages.unshift(setMtu(spec.name, spec.mtu));
  route.request(messages, `configure bridge "${spec.name}"`);
  // Where the host refuses, the keeper of ports carries what comes to 127.0.0.1, see firewall.ts.
  setInside(cstr(`/proc/sys/net/ipv4/conf/${spec.name}/route_localnet`), ONE);
  return { adopted: found !== undefined, outsiders };
}

/** A MAC of the bridge's own that stays the same when it is made again; else it would follow its ports. */
function bridgeMac(name: string): Uint8Array {
  return Uint8Array.of(2, 0x42, ...new Bun.CryptoHasher("sha256").update(name).digest().subarray(0, 4));
}

function toPrefix(cidr: string): Prefix {
  const { address, subnet } = parseInterface(cidr);
  return { family: address.family, bytes: addressBytes(address), length: subnet.length };
}

function same(a: Prefix, b: Prefix): boolean {
  return a.length === b.length && Buffer.compare(a.bytes, b.bytes) === 0;
}

function isLinkLocal({ bytes }: Prefix): boolean {
  return bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

/** Deletes those of the links that are still there, many at once; what is gone already is no error. */
export function deleteLinks(route: Netlink, names: string[]): void {
  if (names.length === 1) route.exchange(names.map(deleteLink));
  if (names.length < 2) return;
  const marked = route.exchange(names.map((name) => setGroup(name, DOOMED)));
  if (marked.some((answer) => answer.errno === 0)) route.exchange([deleteGroup(DOOMED)]);
}

/** Makes a VLAN on a link of the host, or a link that leads nowhere, and sets it up. */
export function makeLink(route: Netlink, spec: LinkSpec): void {
  const what = `make the ${spec.kind} link "${spec.name}"`;
  const below = spec.kind === "vlan" ? findLink(route, spec.below) : undefined;
  if (spec.kind === "vlan" && below === undefined) throw new Error(`Cannot ${what}: there is no link "${spec.below}"`);
  const message = spec.kind === "vlan" ? newVlan({ name: spec.name, below: below?.index ?? 0, id: spec.id }) : newDummy(spec.name);
  route.request([message, linkUp(spec.name)], what);
}

/** Puts links back on a bridge, those that still exist, with what ports of it have. */
export function enslave(route: Netlink, bridge: string, names: string[], isolated: boolean): void {
  const master = findLink(route, bridge);
  if (master === undefined) return;
  const flags = { isolated, hairpin: bridgesAreFiltered() };
  const there = names.flatMap((name) => findLink(route, name) ?? []);
  // A port is what a port is from the beginning: no frame passes before.
  route.exchange(there.flatMap(({ name, index }) => [setMaster(name, master.index), setPort(index, flags), linkUp(name)]));
}

/**
 * Makes a namespace and wires it: loopback up, each wire's pair created with one end directly inside, addresses, default routes.
 * Undone whole when a step fails: closing the namespace takes the pairs with it.
 */
export function makeSandbox(route: Netlink, wires: Wire[], within?: number): number {
  const needs6 = wires.some((wire) => wire.addresses.some((address) => address.includes(":")));
  const begin = (): number => {
    if (!needs6 && wires.length > 0) setInside(NO_IPV6, ONE);
    return openNetlink(NETLINK_ROUTE);
  };
  const { fd, result: socket } =
    within === undefined ? newNamespace(begin) : { fd: openNamespace(`/proc/self/fd/${within}`), result: inNamespace(within, begin) };
  const inside = new Netlink(NETLINK_ROUTE, socket);
  try {
    inside.request([linkUp(LOOPBACK)], "set the loopback up");
    for (const wire of wires) makeWire(route, inside, fd, wire);
    return fd;
  } catch (error) {
    libc().close(fd);
    throw error;
  } finally {
    inside.close();
  }
}

/** Adds a wire to a namespace that is in use. */
export function attachWire(route: Netlink, namespace: string, wire: Wire): void {
  withInside(namespace, (inside, fd) => makeWire(route, inside, fd, wire));
}

/** Deletes a link inside of a namespace; one that is gone already is no error. */
export function detachWire(namespace: string, name: string): void {
  withInside(namespace, (inside) => void inside.exchange([deleteLink(name)]));
}

/** Sets the default routes of a namespace that is in use. */
export function setGateways(namespace: string, name: string, gateways: string[]): void {
  withInside(namespace, (inside) => {
    const link = findLink(inside, name);
    if (link !== undefined) inside.request(defaultRoutes(link, gateways), `set the gateway of "${name}"`);
  });
}

function withInside(namespace: string, act: (inside: Netlink, fd: number) => void): void {
  const fd = openNamespace(namespace);
  try {
    const inside = new Netlink(
      NETLINK_ROUTE,
      inNamespace(fd, () => openNetlink(NETLINK_ROUTE)),
    );
    try {
      act(inside, fd);
    } finally {
      inside.close();
    }
  } finally {
    libc().close(fd);
  }
}

function makeWire(route: Netlink, inside: Netlink, namespace: number, wire: Wire): void {
  if (wire.parent === undefined) makePair(route, namespace, wire);
  else makeChild(route, namespace, wire, wire.parent);
  try {
    configureWire(inside, namespace, wire);
  } catch (error) {
    inside.exchange([deleteLink(wire.name)]);
    throw error;
  }
}

function configureWire(inside: Netlink, namespace: number, wire: Wire): void {
  const what = `configure "${wire.name}"`;
  const link = findLink(inside, wire.name);
  if (link === undefined) throw new Error(`Cannot ${what}: it is not in the namespace`);
  if (wire.addresses.some((address) => address.includes(":"))) {
    const setting = cstr(`/proc/sys/net/ipv6/conf/${wire.name}/disable_ipv6`);
    inNamespace(namespace, () => setInside(setting, ZERO));
  }
  for (const { path, value } of wire.settings ?? []) writeInside(namespace, path, value);
  inside.request([linkUp(link.index), ...wire.addresses.map((address) => addAddress(link.index, toPrefix(address)))], what);
  const routes = [...defaultRoutes(link, wire.gateways), ...(wire.direct ?? []).map((family) => directRoute(link.index, family))];
  inside.request(routes, `set the way out of "${wire.name}"`);
}

/** An interface inside that shares a link of the host, which has to be up. */
function makeChild(route: Netlink, namespace: number, wire: Wire, parent: WireParent): void {
  const link = findLink(route, parent.link);
  const what = `put "${wire.name}" on "${parent.link}" (${parent.kind})`;
  if (link === undefined) throw new Error(`Cannot ${what}: the host has no link "${parent.link}"`);
  const mac = parent.kind === "macvlan" ? parseMac(wire.mac) : undefined;
  const messages = [newChild({ ...parent, parent: link.index, name: wire.name, mac, mtu: wire.mtu, namespace })];
  route.request(link.up ? messages : [linkUp(link.index), ...messages], what);
}

/** A pair of links: one end inside, the other a port of the bridge. */
function makePair(route: Netlink, namespace: number, wire: Wire): void {
  const bridge = findLink(route, wire.bridge);
  if (bridge === undefined) throw new Error(`Cannot wire "${wire.hostName}": there is no bridge "${wire.bridge}"`);
  const peer = { name: wire.name, mac: parseMac(wire.mac), namespace };
  const what = `wire "${wire.hostName}" to bridge "${wire.bridge}"`;
  route.request(
    [newVeth({ name: wire.hostName, master: bridge.index, mtu: wire.mtu, peer }), withoutLinkLocal(wire.hostName), linkUp(wire.hostName)],
    what,
  );
  const hairpin = bridgesAreFiltered();
  if (wire.isolated || hairpin) {
    const port = findLink(route, wire.hostName);
    if (port !== undefined) route.request([setPort(port.index, { isolated: wire.isolated, hairpin })], what);
  }
}

/**
 * Whether br_netfilter sends bridged packets through the IP rules (a module that other engines load): then a container's packet to its own published
 * port is translated within the bridge, and must leave by the port that it came from.
 */
function bridgesAreFiltered(): boolean {
  const fd = libc().open(BRIDGE_FILTER, O_RDONLY_CLOEXEC, 0);
  if (fd < 0) return false;
  const length = Number(libc().read(fd, ANSWER, ANSWER.length));
  libc().close(fd);
  return length > 0 && ANSWER[0] === ONE[0];
}

function defaultRoutes(link: Link, gateways: string[]): NetlinkMessage[] {
  return gateways.flatMap((text) => {
    const gateway = parseAddress(text);
    return gateway === undefined ? [] : [defaultRoute(link.index, addressBytes(gateway))];
  });
}

/** Writes a setting that somebody asked for in a namespace. Throws when the kernel has none of that name, or does not take the value. */
function writeInside(namespace: number, path: string, value: string): void {
  const [file, bytes] = [cstr(path), Buffer.from(value)];
  const errno = inNamespace(namespace, () => {
    const fd = libc().open(file, O_WRONLY_CLOEXEC, 0);
    if (fd < 0) return lastErrno();
    const written = libc().write(fd, bytes, bytes.length);
    const failed = Number(written) < 0 ? lastErrno() : 0;
    libc().close(fd);
    return failed;
  });
  if (errno !== 0) throw systemError("write", errno, `"${value}" to ${path}`);
}

/** Writes a kernel setting by system calls alone; where the kernel lacks it (IPv6 off) or refuses, nothing is set. */
function setInside(path: Uint8Array, value: Uint8Array): void {
  const fd = libc().open(path, O_WRONLY_CLOEXEC, 0);
  if (fd < 0) return;
  libc().write(fd, value, value.length);
  libc().close(fd);
}
