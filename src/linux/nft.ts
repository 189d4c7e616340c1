import {
  NETLINK_NETFILTER,
  NLM_F,
  Netlink,
  type NetlinkAnswer,
  type NetlinkMessage,
  attribute,
  be32,
  be64,
  nest,
  netlinkError,
  text,
} from "./netlink.ts";

/**
 * nf_tables by netlink: batches that the kernel applies whole or not at all. Numbers are those of linux/netfilter/nf_tables.h;
 * attributes are in network byte order. Rules and sets are described by small objects, encoded here.
 */
const SUBSYSTEM = 10;
const MSG = { newTable: 0, delTable: 2, newChain: 3, newRule: 6, delRule: 8, newSet: 9, newElement: 12, delElement: 14 } as const;
const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;

/** Protocol families of tables. */
export const NFPROTO = { inet: 1, ipv4: 2, bridge: 7, ipv6: 10 } as const;

/** Where a base chain hangs in the packet's way. */
export const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;

/** Types of nft's own numbering, so that `nft list` shows keys as what they are. */
export const KEY = {
  ipv4: { type: 7, size: 4 },
  ipv6: { type: 8, size: 16 },
  protocol: { type: 12, size: 4 },
  port: { type: 13, size: 4 },
  mark: { type: 19, size: 4 },
  ifname: { type: 41, size: 16 },
} as const;

/** The type of one field of a key. */
export type KeyField = (typeof KEY)[keyof typeof KEY];

/** A base chain where `hook` is given, else one to jump to. */
export interface ChainSpec {
  name: string;
  type?: "filter" | "nat";
  hook?: number;
  priority?: number;
  /** What happens to packets that reach its end; `accept` by default. */
  policy?: "accept" | "drop";
}

/** A set, or a map where `data` is given. */
export interface SetSpec {
  name: string;
  key: readonly KeyField[];
  data?: readonly KeyField[];
  /** Whether elements are ranges, in network byte order. */
  ranges?: boolean;
  /** Elements may be gone after a time. */
  timeout?: boolean;
  /** The most elements. */
  size?: number;
}

/** A set's element: key, and for a map its value; each padded as {@link fields} does. */
export interface Element {
  key: Uint8Array;
  data?: Uint8Array;
  /** The last key of a range, in sets of several fields. */
  last?: Uint8Array;
  /** In sets of one field a range is two elements: its first key, and the one behind its last, marked so. */
  isEnd?: boolean;
  /** Milliseconds that it stays, in sets with time-outs. */
  timeout?: number;
}

/** One encoded expression of a rule. */
export type Expression = Uint8Array;

const expression = (name: string, ...data: Uint8Array[]): Expression => nest(1, text(1, name), nest(2, ...data));
const dataValue = (type: number, value: Uint8Array): Uint8Array => nest(type, attribute(1, value));

/** Notes for `nft list` (libnftnl's udata: type 0, 4 bytes): keys of one field are in the machine's order, or in the network's. */
const HOST_ORDER = Uint8Array.of(0, 4, 1, 0, 0, 0);
const NETWORK_ORDER = Uint8Array.of(0, 4, 2, 0, 0, 0);

/** First of the 32-bit registers; a 16-byte value takes four of them. */
const REGISTER = 8;

/** What a packet is asked for, loaded into 32-bit registers from `register` on. */
export const load = {
  protocol: (register = 0): Expression => meta(16, register),
  family: (register = 0): Expression => meta(15, register),
  iifname: (register = 0): Expression => meta(6, register),
  oifname: (register = 0): Expression => meta(7, register),
  /** The group number of the link that the packet came in by. */
  iifgroup: (register = 0): Expression => meta(21, register),
  oifgroup: (register = 0): Expression => meta(22, register),
  destinationPort: (register = 0): Expression => payload(2, 2, 2, register),
  source: (family: 4 | 6, register = 0): Expression => (family === 4 ? payload(1, 12, 4, register) : payload(1, 8, 16, register)),
  destination: (family: 4 | 6, register = 0): Expression => (family === 4 ? payload(1, 16, 4, register) : payload(1, 24, 16, register)),
  ctState: (register = 0): Expression => expression("ct", be32(1, REGISTER + register), be32(2, 0)),
  /** 1 for packets that answer what began a connection, one byte. */
  ctDirection: (register = 0): Expression => expression("ct", be32(1, REGISTER + register), be32(2, 1)),
  ctStatus: (register = 0): Expression => expression("ct", be32(1, REGISTER + register), be32(2, 2)),
  /** The kind of destination address: 2 is one of this host (`RTN_LOCAL`). */
  destinationType: (register = 0): Expression => expression("fib", be32(1, REGISTER + register), be32(2, 3), be32(3, 2)),
};

function meta(key: number, register: number): Expression {
  return expression("meta", be32(1, REGISTER + register), be32(2, key));
}

function payload(base: number, offset: number, length: number, register: number): Expression {
  return expression("payload", be32(1, REGISTER + register), be32(2, base), be32(3, offset), be32(4, length));
}

/** Puts a constant into a register. */
export function constant(value: Uint8Array, register: number): Expression {
  return expression("immediate", be32(1, REGISTER + register), dataValue(2, value));
}

/** Goes on when the register holds `value`, or with `not` when it does not. */
export function compare(value: Uint8Array, options: { not?: boolean } = {}): Expression {
  return expression("cmp", be32(1, REGISTER), be32(2, options.not === true ? 1 : 0), dataValue(3, value));
}

/** Masks the first register. */
export function mask(bits: Uint8Array): Expression {
  return expression(
    "bitwise",
    be32(1, REGISTER),
    be32(2, REGISTER),
    be32(3, bits.length),
    dataValue(4, bits),
    dataValue(5, new Uint8Array(bits.length)),
  );
}

/** Goes on when the registers from the first on are in a set, or with `not` when they are not; for a map, its value is put into registers from `into` on. */
export function lookup(set: string, options: { into?: number; not?: boolean } = {}): Expression {
  const target = options.into === undefined ? [] : [be32(3, REGISTER + options.into)];
  return expression("lookup", text(1, set), be32(2, REGISTER), ...target, ...(options.not === true ? [be32(5, 1)] : []));
}

/** Sends the packet to the address and port in registers. */
export function dnat(family: 4 | 6, address: number, port: number): Expression {
  const protocol = family === 4 ? NFPROTO.ipv4 : NFPROTO.ipv6;
  return expression("nat", be32(1, 1), be32(2, protocol), be32(3, REGISTER + address), be32(5, REGISTER + port));
}

/** Gives the packet the address of the link that it leaves by. */
export function masquerade(): Expression {
  return expression("masq");
}

/** Ends the rule: what happens to the packet. */
export function verdict(code: "accept" | "drop" | "return" | { jump: string } | { goto: string }): Expression {
  const number = typeof code === "string" ? { drop: 0, accept: 1, return: -5 }[code] : "jump" in code ? -3 : -4;
  const chain = typeof code === "object" ? [text(2, "jump" in code ? code.jump : code.goto)] : [];
  return expression("immediate", be32(1, 0), nest(2, nest(2, be32(1, number), ...chain)));
}

/** A name as `iifname` is compared: 16 bytes. */
export function ifname(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(Buffer.from(name).subarray(0, 15));
  return bytes;
}

/** A 32-bit number in the machine's order, as connection tracking keeps its states. */
export function native32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** A key or value of several fields: each padded to whole 32-bit registers. */
export function fields(...parts: Uint8Array[]): Uint8Array {
  return Buffer.concat(parts.map((part) => Buffer.concat([part, new Uint8Array((4 - (part.length & 3)) & 3)])));
}

/** A port as packets carry it. */
export function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 255);
}

/** Collects changes to one table, `inet` where nothing else is said, and applies them in one atomic batch. */
export class NftBatch {
  readonly #table: string;
  readonly #family: number;
  readonly #messages: NetlinkMessage[] = [];
  #setId = 0;

  constructor(table: string, family: number = NFPROTO.inet) {
    this.#table = table;
    this.#family = family;
  }

  /** What was collected, to be sent in a batch with others. */
  get messages(): readonly NetlinkMessage[] {
    return this.#messages;
  }

  /** Puts in messages that were collected elsewhere. */
  append(messages: readonly NetlinkMessage[]): void {
    for (const message of messages) this.#messages.push({ ...message });
  }

  /** A message of nf_tables whose attributes, but the table's name, are given as they are. */
  raw(message: keyof typeof MSG, flags: number, ...parts: Uint8Array[]): void {
    this.#add(MSG[message], flags, text(1, this.#table), ...parts);
  }

  /** Makes the table anew, empty, whatever it held; within the batch, so that nothing in between is ever seen. */
  replaceTable(): void {
    this.addTable();
    this.deleteTable();
    this.addTable();
  }

  /** Makes the table if it is not there. */
  addTable(): void {
    this.#add(MSG.newTable, NLM_F.create, text(1, this.#table));
  }

  deleteTable(): void {
    this.#add(MSG.delTable, 0, text(1, this.#table));
  }

  chain(spec: ChainSpec): void {
    const parts = [text(1, this.#table), text(3, spec.name)];
    if (spec.hook !== undefined) {
      parts.push(
        nest(4, be32(1, spec.hook), be32(2, spec.priority ?? 0)),
        be32(5, spec.policy === "drop" ? 0 : 1),
        text(7, spec.type ?? "filter"),
      );
    }
    this.#add(MSG.newChain, NLM_F.create, ...parts);
  }

  rule(chain: string, ...expressions: Expression[]): void {
    this.#add(MSG.newRule, NLM_F.create | NLM_F.append, text(1, this.#table), text(2, chain), nest(4, ...expressions));
  }

  /** Deletes all rules of a chain. */
  emptyChain(chain: string): void {
    this.#add(MSG.delRule, 0, text(1, this.#table), text(2, chain));
  }

  /** Deletes all elements of a set. */
  emptySet(set: string): void {
    this.#add(MSG.delElement, 0, text(1, this.#table), text(2, set));
  }

  set(spec: SetSpec): void {
    const flags =
      (spec.timeout === true ? 16 : 0) |
      (spec.ranges === true ? 4 : 0) |
      (spec.data === undefined ? 0 : 8) |
      (spec.key.length > 1 ? 128 : 0);
    const parts = [text(1, this.#table), text(2, spec.name), be32(3, flags), be32(4, typeOf(spec.key)), be32(5, sizeOf(spec.key))];
    if (spec.data !== undefined) parts.push(be32(6, typeOf(spec.data)), be32(7, sizeOf(spec.data)));
    const bound = spec.size === undefined ? [] : [be32(1, spec.size)];
    if (spec.key.length > 1) parts.push(nest(9, ...bound, nest(2, ...spec.key.map((field) => nest(1, be32(1, field.size))))));
    if (spec.key.length === 1) parts.push(attribute(13, spec.key[0] === KEY.ifname ? HOST_ORDER : NETWORK_ORDER));
    this.#add(MSG.newSet, NLM_F.create, ...parts, be32(10, ++this.#setId));
  }

  elements(set: string, elements: readonly Element[]): void {
    this.#elements(MSG.newElement, NLM_F.create, set, elements);
  }

  deleteElements(set: string, elements: readonly Element[]): void {
    this.#elements(MSG.delElement, 0, set, elements);
  }

  /** Applies what was collected; throws the kernel's first error, and then nothing was changed. */
  commit(socket: Netlink): void {
    if (this.#messages.length === 0) return;
    const failed = sendBatch(socket, this.#messages).find((answer) => answer.errno !== 0);
    if (failed !== undefined) throw netlinkError(failed, `change table "${this.#table}"`);
  }

  #elements(type: number, flags: number, set: string, elements: readonly Element[]): void {
    // A nested attribute's length has 16 bits: 64 KiB hold at least 500 of the longest elements.
    for (let at = 0; at < elements.length; at += 500) {
      this.#add(type, flags, text(1, this.#table), text(2, set), nest(3, ...elements.slice(at, at + 500).map(encodeElement)));
    }
  }

  #add(message: number, flags: number, ...parts: Uint8Array[]): void {
    this.#messages.push({ type: (SUBSYSTEM << 8) | message, flags, body: Buffer.concat([Uint8Array.of(this.#family, 0, 0, 0), ...parts]) });
  }
}

/**
 * Applies messages as one batch, whole or not at all; answers what the kernel said to each of them. What it says to none in particular comes last.
 */
export function sendBatch(socket: Netlink, messages: readonly NetlinkMessage[]): NetlinkAnswer[] {
  if (messages.length === 0) return [];
  const begin: NetlinkMessage = { type: BATCH_BEGIN, flags: 0, body: Uint8Array.of(0, 0, 0, SUBSYSTEM) };
  const all = messages.map((message, index) =>
    index === messages.length - 1 ? { ...message, flags: message.flags | NLM_F.ack } : message,
  );
  const [general, ...answers] = socket.exchange([begin, ...all, { ...begin, type: BATCH_END }]);
  return [...answers.slice(0, messages.length), ...(general === undefined ? [] : [general])];
}

function encodeElement({ key, data, last, isEnd, timeout }: Element): Uint8Array {
  const parts = [dataValue(1, key)];
  if (data !== undefined) parts.push(dataValue(2, data));
  if (isEnd === true) parts.push(be32(3, 1));
  if (timeout !== undefined) parts.push(be64(4, timeout));
  if (last !== undefined) parts.push(dataValue(10, last));
  return nest(1, ...parts);
}

function typeOf(key: readonly KeyField[]): number {
  return key.reduce((sum, field) => (sum << 6) | field.type, 0);
}

function sizeOf(key: readonly KeyField[]): number {
  return key.reduce((sum, field) => sum + field.size, 0);
}

/** A socket for nf_tables in the calling thread's network namespace. */
export function openNft(): Netlink {
  return new Netlink(NETLINK_NETFILTER);
}
