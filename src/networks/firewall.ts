import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { Netlink, NetlinkMessage } from "../linux/netlink.ts";
import { type Element, HOOK, KEY, NftBatch, compare, dnat, fields, load, lookup, native32, portBytes, verdict } from "../linux/nft.ts";
import { addressBytes, parseAddress, parseSubnet, width } from "./addresses.ts";
import { type NetworkRules, addNetworks, declareNetworks, inSubnet, isFamily, networkRules } from "./network-rules.ts";

/** A published port: packets to `hostAddress:hostPort` go to `address:port`. */
export interface PortRule {
  protocol: "tcp" | "udp" | "sctp";
  /** `0.0.0.0` and `::` mean every address of the host. */
  hostAddress: string;
  hostPort: number;
  address: string;
  port: number;
  /** Who reaches it from outside of the host; the daemon's policy where it is not said. */
  reach?: Reach;
  /** The host address is the container's own: packets to it are let through as they are. */
  direct?: true;
}

/** Everybody, whom the host's own firewall lets in, or nobody but this host and its containers. */
export type Reach = "open" | "firewall" | "loopback";

/** All that the table says. */
export interface FirewallModel {
  networks: NetworkRules[];
  ports: PortRule[];
  /** What holds for ports that say nothing of it. */
  reach: Reach;
}

/** Numbers of the protocols that ports belong to. */
export const PROTOCOL = { tcp: 6, udp: 17, sctp: 132 } as const;
const LOCAL = native32(2);
const FAMILIES = [4, 6] as const;

/**
 * Writes the whole table anew in one atomic batch: connections that are open, and ports that stay, never notice.
 * The chains: `guard` keeps 127.0.0.0/8 the host's own, `publish` sends packets for published ports to their container (from outside, from
 * containers, and from the host itself), `outward` gives containers the host's address, `between` lets into a bridge what belongs there.
 */
export function writeTable(socket: Netlink, table: string, model: FirewallModel): void {
  const batch = new NftBatch(table);
  batch.replaceTable();
  declare(batch);
  addNetworks(batch, model.networks);
  guardRules(batch);
  publishRules(
    batch,
    model.networks.every(({ bridge }) => routesLoopback(bridge)),
  );
  networkRules(batch);
  for (const [set, elements] of portElements(model.ports)) batch.elements(set, elements);
  batch.commit(socket);
}

/** Removes the table. */
export function dropTable(socket: Netlink, table: string): void {
  const batch = new NftBatch(table);
  batch.deleteTable();
  batch.commit(socket);
}

/** Adds published ports, or takes them away, in one batch: one map element each; `first` goes in before. */
export function changePorts(
  socket: Netlink,
  table: string,
  change: { add?: PortRule[]; remove?: PortRule[] },
  first: readonly NetlinkMessage[] = [],
): void {
  const batch = new NftBatch(table);
  batch.append(first);
  for (const [set, elements] of portElements(change.remove ?? [])) batch.deleteElements(set, elements);
  for (const [set, elements] of portElements(change.add ?? [])) batch.elements(set, elements);
  batch.commit(socket);
}

/** Takes every published port out of the table, so that what comes for them meets the host's own rules and the keeper's sockets. Nothing is done where there is no table. */
export function emptyPorts(socket: Netlink, table: string): void {
  const batch = new NftBatch(table);
  for (const family of FAMILIES) for (const set of [`ports${family}_any`, `ports${family}_at`, `direct${family}`]) batch.emptySet(set);
  try {
    batch.commit(socket);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
  }
}

function declare(batch: NftBatch): void {
  declareNetworks(batch);
  for (const family of FAMILIES) {
    const address = family === 4 ? KEY.ipv4 : KEY.ipv6;
    batch.set({ name: `ports${family}_any`, key: [KEY.protocol, KEY.port], data: [address, KEY.port] });
    batch.set({ name: `ports${family}_at`, key: [address, KEY.protocol, KEY.port], data: [address, KEY.port] });
  }
  batch.chain({ name: "publish" });
  batch.chain({ name: "guard", type: "filter", hook: HOOK.prerouting, priority: -300 });
  batch.chain({ name: "inward", type: "nat", hook: HOOK.prerouting, priority: -100 });
  batch.chain({ name: "local", type: "nat", hook: HOOK.output, priority: -100 });
  batch.chain({ name: "outward", type: "nat", hook: HOOK.postrouting, priority: 100 });
  batch.chain({ name: "between", type: "filter", hook: HOOK.forward, priority: 0 });
}

/** `route_localnet` on our bridges would let containers reach what listens on the host's 127.0.0.1: they may not. */
function guardRules(batch: NftBatch): void {
  const loopback = parseSubnet("127.0.0.0/8");
  for (const end of ["destination", "source"] as const) {
    batch.rule("guard", ...isFamily(4), load[end](4), ...inSubnet(loopback), load.iifname(), lookup("bridges"), verdict("drop"));
  }
}

/** Whether packets of 127.0.0.0/8 may leave by a bridge: mostly so, as the bridge was made that way. */
function routesLoopback(bridge: string): boolean {
  return ["all", bridge].some((link) => {
    try {
      return readFileSync(`/proc/sys/net/ipv4/conf/${link}/route_localnet`, "utf8") === "1\n";
    } catch {
      // A bridge that is not there yet, or somebody's whose settings cannot be seen.
      return link === bridge;
    }
  });
}

function publishRules(batch: NftBatch, loopback: boolean): void {
  for (const chain of ["inward", "local"]) {
    batch.rule(chain, load.destinationType(), compare(LOCAL), verdict({ jump: "publish" }));
  }
  // ::1 cannot be translated: the kernel sends such packets nowhere but to itself.
  batch.rule("publish", ...isFamily(6), load.destination(6), compare(addressBytes({ family: 6, value: 1n })), verdict("return"));
  // What rules cannot send on reaches the keeper's sockets.
  if (!loopback) batch.rule("publish", ...isFamily(4), load.destination(4), ...inSubnet(parseSubnet("127.0.0.0/8")), verdict("return"));
  for (const family of FAMILIES) {
    const words = width(family) / 32;
    const at = [load.destination(family), load.protocol(words), load.destinationPort(words + 1), lookup(`ports${family}_at`, { into: 0 })];
    batch.rule("publish", ...isFamily(family), ...at, dnat(family, 0, words));
    const any = [load.protocol(), load.destinationPort(1), lookup(`ports${family}_any`, { into: 0 })];
    batch.rule("publish", ...isFamily(family), ...any, dnat(family, 0, words));
  }
}

/** The maps' elements; ports whose host address and container address are of different families have no rule (a relay is needed). */
function portElements(ports: readonly PortRule[]): Map<string, Element[]> {
  const found = new Map<string, Element[]>();
  for (const port of ports) {
    const host = parseAddress(port.hostAddress);
    const target = parseAddress(port.address);
    if (host === undefined || target === undefined || host.family !== target.family) continue;
    const wanted = [Uint8Array.of(PROTOCOL[port.protocol]), portBytes(port.hostPort)];
    const set = port.direct === true ? `direct${host.family}` : `ports${host.family}_${host.value === 0n ? "any" : "at"}`;
    const key = host.value === 0n ? fields(...wanted) : fields(addressBytes(host), ...wanted);
    const list = found.get(set) ?? [];
    list.push(port.direct === true ? { key } : { key, data: fields(addressBytes(target), portBytes(port.port)) });
    found.set(set, list);
  }
  return found;
}

/** Whether rules alone can carry a published port: host and container address are of one family. */
export function isCarried(port: Pick<PortRule, "hostAddress" | "address">): boolean {
  return isIP(port.hostAddress) === isIP(port.address);
}
