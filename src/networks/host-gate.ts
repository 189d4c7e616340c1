import {
  NFPROTO,
  type Element,
  type Expression,
  HOOK,
  KEY,
  type NftBatch,
  compare,
  fields,
  ifname,
  load,
  lookup,
  native32,
  portBytes,
  verdict,
} from "../linux/nft.ts";
import { addressBytes, parseAddress, width } from "./addresses.ts";
import { type PortRule, PROTOCOL } from "./firewall.ts";
import { isFamily } from "./network-rules.ts";

/** The group of links that our bridges are in: what comes from them is not from outside. */
export const BRIDGE_GROUP = 0x4c746772;

const LOCAL = native32(2);
const UNICAST = native32(1);
const REPLY = Uint8Array.of(1);
const ACCEPT = verdict("accept");

/** What the names of our own chains and sets in copied tables begin with. */
const OWN = "lighter-";

/** The name of the set of ports whose packets may get marks later, of one kind (a group of bits). */
export function markedSet(kind: number): string {
  return `${OWN}marked${kind}`;
}

/** The families that packets in tables of a family can have. */
export function familiesOf(family: number): (4 | 6)[] {
  return family === NFPROTO.inet ? [4, 6] : family === NFPROTO.ipv4 ? [4] : [6];
}

/** Declares the sets of published ports in a table of a family. */
export function declareGate(batch: NftBatch, family: number): void {
  for (const version of familiesOf(family)) {
    const address = version === 4 ? KEY.ipv4 : KEY.ipv6;
    batch.set({ name: `${OWN}any${version}`, key: [KEY.protocol, KEY.port] });
    batch.set({ name: `${OWN}at${version}`, key: [address, KEY.protocol, KEY.port] });
    batch.set({ name: `${OWN}direct${version}`, key: [address, KEY.protocol, KEY.port] });
  }
}

/**
 * A chain called before dstnat that asks `body` about packets from outside to published ports, and lets all others by: answers to connections that went out, too.
 * What is sent to many (broadcast, multicast) is asked about where no rules of the host's are met later, see `shut`.
 */
export function gate(
  batch: NftBatch,
  family: number,
  options: { body: string; priority: number; policy: "accept" | "drop"; shut?: boolean },
): void {
  const chain = `${OWN}gate-${options.body}`;
  batch.chain({ name: chain, type: "filter", hook: HOOK.prerouting, priority: options.priority, policy: options.policy });
  batch.rule(chain, load.iifname(), compare(ifname("lo")), ACCEPT);
  batch.rule(chain, load.iifgroup(), compare(native32(BRIDGE_GROUP)), ACCEPT);
  batch.rule(chain, load.ctDirection(), compare(REPLY), ACCEPT);
  for (const version of familiesOf(family)) {
    const only = family === NFPROTO.inet ? isFamily(version) : [];
    batch.rule(chain, ...only, ...destination(version), lookup(`${OWN}direct${version}`), verdict({ goto: options.body }));
  }
  batch.rule(chain, load.destinationType(), options.shut === true ? compare(UNICAST) : compare(LOCAL, { not: true }), ACCEPT);
  for (const version of familiesOf(family)) {
    const only = family === NFPROTO.inet ? isFamily(version) : [];
    batch.rule(chain, ...only, ...destination(version), lookup(`${OWN}at${version}`), verdict({ goto: options.body }));
    batch.rule(chain, ...only, load.protocol(), load.destinationPort(1), lookup(`${OWN}any${version}`), verdict({ goto: options.body }));
  }
  batch.rule(chain, ACCEPT);
}

function destination(version: 4 | 6): Expression[] {
  const words = width(version) / 32;
  return [load.destination(version), load.protocol(words), load.destinationPort(words + 1)];
}

/** Adds ports to the sets of a table, or takes them out. */
export function gatePorts(batch: NftBatch, family: number, change: "add" | "remove", ports: readonly PortRule[]): void {
  const found = new Map<string, Element[]>();
  for (const port of ports) {
    const host = parseAddress(port.hostAddress);
    if (host === undefined || !familiesOf(family).includes(host.family)) continue;
    const wanted = [Uint8Array.of(PROTOCOL[port.protocol]), portBytes(port.hostPort)];
    const isAny = host.value === 0n;
    const set = `${OWN}${port.direct === true ? "direct" : isAny ? "any" : "at"}${host.family}`;
    const list = found.get(set) ?? [];
    list.push({ key: isAny ? fields(...wanted) : fields(addressBytes(host), ...wanted) });
    found.set(set, list);
  }
  for (const [set, elements] of found) {
    if (change === "add") batch.elements(set, elements);
    else batch.deleteElements(set, elements);
  }
}

/** Declares the sets of ports that get marks later. */
export function declareMarked(batch: NftBatch, kinds: number): void {
  for (let kind = 0; kind < kinds; kind++) batch.set({ name: markedSet(kind), key: [KEY.protocol, KEY.port] });
}

/** Puts ports into those sets, where they stay for as long as the copy stands. */
export function markPorts(batch: NftBatch, ports: readonly PortRule[], kindsOf: (port: PortRule) => readonly number[]): void {
  const found = new Map<number, Map<string, Element>>();
  for (const port of ports) {
    const key = fields(Uint8Array.of(PROTOCOL[port.protocol]), portBytes(port.hostPort));
    for (const kind of kindsOf(port)) {
      const elements = found.get(kind) ?? new Map<string, Element>();
      found.set(kind, elements.set(`${port.protocol} ${port.hostPort}`, { key }));
    }
  }
  for (const [kind, elements] of found) batch.elements(markedSet(kind), [...elements.values()]);
}
