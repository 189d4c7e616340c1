import { attribute, be32, be64, nest, text } from "./netlink.ts";
import type { Expression } from "./nft.ts";

/** Expressions of nf_tables for rules that judge packets one by one; numbers are those of linux/netfilter/nf_tables.h. */
const REGISTER = 8;
const META_PROTOCOL = 1;
const NETWORK_HEADER = 1;
const TRANSPORT_HEADER = 2;
/** `NFT_REJECT_ICMPX_UNREACH` and its code "administratively prohibited". */
const ICMPX = 2;
const PROHIBITED = 3;

const expression = (name: string, ...data: Uint8Array[]): Expression => nest(1, text(1, name), nest(2, ...data));
const data = (type: number, value: Uint8Array): Uint8Array => nest(type, attribute(1, value));

/** Loads a frame's Ethertype into the first register. */
export function etherType(): Expression {
  return expression("meta", be32(1, REGISTER), be32(2, META_PROTOCOL));
}

/** Loads bytes of the network's header (of an ARP packet, too). */
export function networkBytes(offset: number, length: number, register = 0): Expression {
  return payload(NETWORK_HEADER, offset, length, register);
}

/** Loads bytes of the header after the network's. */
export function transportBytes(offset: number, length: number, register = 0): Expression {
  return payload(TRANSPORT_HEADER, offset, length, register);
}

function payload(base: number, offset: number, length: number, register: number): Expression {
  return expression("payload", be32(1, REGISTER + register), be32(2, base), be32(3, offset), be32(4, length));
}

/** Goes on when the first register's value is between two others, ends included. */
export function between(first: Uint8Array, last: Uint8Array): Expression {
  return expression("range", be32(1, REGISTER), be32(2, 0), data(3, first), data(4, last));
}

/** Goes on for so many packets a second at most, and as many at once. */
export function limit(rate: number): Expression {
  return expression("limit", be64(1, rate), be64(2, 1), be32(3, rate), be32(4, 0), be32(5, 0));
}

/** Hands the first bytes of the packet to whoever listens to a group (nfnetlink_log). */
export function logTo(group: number, bytes: number): Expression {
  return expression("log", attribute(1, Uint8Array.of(group >> 8, group & 255)), be32(3, bytes));
}

/** Tells the sender that the way is forbidden (ICMP "administratively prohibited"), and drops the packet. */
export function reject(): Expression {
  return expression("reject", be32(1, ICMPX), attribute(2, Uint8Array.of(PROHIBITED)));
}
