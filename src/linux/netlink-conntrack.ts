import { NETLINK_NETFILTER, NLM_F, Netlink, attribute, attributes, nest, u32, u8 } from "./netlink.ts";

/** linux/netfilter/nfnetlink_conntrack.h */
const SUBSYSTEM = 1;
const GET = 1;
const DELETE = 2;
const CTA = { original: 1, reply: 2, filter: 25 } as const;
const TUPLE = { ip: 1, protocol: 2 } as const;
const FILTER = { source: 1, protocol: 8, destinationPort: 32 } as const;
const AF_INET = 2;
const AF_INET6 = 10;

/** Which tracked connections are meant: those that were sent to some ports, those that an address answers, or those that it began. */
export type FlowFilter = { family: 4 | 6 } & (
  | { protocol: number; toPorts: ReadonlySet<number> }
  | { protocol: number; answeredBy: Uint8Array }
  | { begunBy: Uint8Array; unless?: (target: FlowTarget) => boolean }
);

/** Whom a tracked connection was begun with, before anything was translated; port 0 where there are none. */
export interface FlowTarget {
  address: Uint8Array;
  protocol: number;
  port: number;
}

/**
 * Makes the kernel forget tracked connections, so that their next packet meets the rules anew: only a connection's first packet does, and with UDP a
 * client that goes on sending keeps an old one alive. Returns how many there were.
 */
export function forgetFlows(socket: Netlink, filter: FlowFilter): number {
  const header = Uint8Array.of(filter.family === 4 ? AF_INET : AF_INET6, 0, 0, 0);
  const request = { type: (SUBSYSTEM << 8) | GET, flags: NLM_F.dump, body: Buffer.concat([header, ...filterOf(filter)]) };
  const found = (socket.exchange([request])[0]?.replies ?? []).filter(({ body }) => matches(attributes(body, 4), filter));
  const deletions = found.flatMap(({ body }) => {
    const original = attributes(body, 4).get(CTA.original);
    if (original === undefined) return [];
    return [{ type: (SUBSYSTEM << 8) | DELETE, flags: NLM_F.ack, body: Buffer.concat([header, nest(CTA.original, original)]) }];
  });
  return socket.exchange(deletions).filter((answer) => answer.errno === 0).length;
}

/** Kernels since 5.8 list only what fits; older ones list all, which {@link matches} sorts out. */
function filterOf(filter: FlowFilter): Uint8Array[] {
  if ("begunBy" in filter) {
    const begun = attribute(filter.family === 4 ? 1 : 3, filter.begunBy);
    return [nest(CTA.original, nest(TUPLE.ip, begun)), nest(CTA.filter, u32(1, FILTER.source))];
  }
  const number = u8(1, filter.protocol);
  if ("toPorts" in filter) {
    const [port, ...others] = filter.toPorts;
    // The kernel knows one port a question, and walks through all connections for each: of several, they are picked out here.
    const named = port === undefined || others.length > 0 ? [] : [attribute(3, portBytes(port))];
    const tuple = nest(CTA.original, nest(TUPLE.protocol, number, ...named));
    return [tuple, nest(CTA.filter, u32(1, FILTER.protocol | (named.length === 0 ? 0 : FILTER.destinationPort)))];
  }
  const address = attribute(filter.family === 4 ? 1 : 3, filter.answeredBy);
  return [
    nest(CTA.reply, nest(TUPLE.ip, address), nest(TUPLE.protocol, number)),
    nest(CTA.filter, u32(2, FILTER.protocol | FILTER.source)),
  ];
}

function matches(flow: Map<number, Uint8Array>, filter: FlowFilter): boolean {
  const tuple = attributes(flow.get("answeredBy" in filter ? CTA.reply : CTA.original) ?? new Uint8Array());
  const source = attributes(tuple.get(TUPLE.ip) ?? new Uint8Array()).get(filter.family === 4 ? 1 : 3) ?? new Uint8Array();
  if ("begunBy" in filter) return Buffer.compare(source, filter.begunBy) === 0 && filter.unless?.(targetOf(tuple, filter.family)) !== true;
  const protocol = attributes(tuple.get(TUPLE.protocol) ?? new Uint8Array());
  if (protocol.get(1)?.[0] !== filter.protocol) return false;
  if ("toPorts" in filter) {
    const [high = 0, low = 0] = protocol.get(3) ?? [];
    return filter.toPorts.has((high << 8) | low);
  }
  return Buffer.compare(source, filter.answeredBy) === 0;
}

function targetOf(tuple: Map<number, Uint8Array>, family: 4 | 6): FlowTarget {
  const addresses = attributes(tuple.get(TUPLE.ip) ?? new Uint8Array());
  const protocol = attributes(tuple.get(TUPLE.protocol) ?? new Uint8Array());
  const [high = 0, low = 0] = protocol.get(3) ?? [];
  return { address: addresses.get(family === 4 ? 2 : 4) ?? new Uint8Array(), protocol: protocol.get(1)?.[0] ?? 0, port: (high << 8) | low };
}

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 255);
}

/** A socket for connection tracking in the calling thread's network namespace. */
export function openConntrack(): Netlink {
  return new Netlink(NETLINK_NETFILTER);
}
