import { ERRNO, check, errno, errnoName, libc, systemError } from "./libc.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const BUFFER_BYTES = 8 << 20;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

/** Families of netlink sockets, linux/netlink.h. */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** Flags of a netlink message, linux/netlink.h. */
export const NLM_F = { request: 1, ack: 4, replace: 0x100, dump: 0x300, excl: 0x200, create: 0x400, append: 0x800 } as const;

/** One request: the header's length and sequence number are filled in when it is sent. */
export interface NetlinkMessage {
  type: number;
  /** {@link NLM_F}; `request` is added. */
  flags: number;
  /** The family's header and the attributes. */
  body: Uint8Array;
}

/** What the kernel answered to one request: 0 or the errno, its own sentence if it had one, and the bodies of messages (a dump's entries). */
export interface NetlinkAnswer {
  errno: number;
  text: string;
  replies: { type: number; body: Uint8Array }[];
  /** The errno that ended a dump before its end. */
  cutShort?: number;
}

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** An attribute with raw bytes, padded to four. */
export function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((4 + value.length + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

/** A 32-bit attribute in the machine's byte order (little-endian on every processor we run on). */
export function u32(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value >>> 0, true);
  return attribute(type, bytes);
}

/** A 32-bit attribute in network byte order, as nf_tables wants its numbers. */
export function be32(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value >>> 0, false);
  return attribute(type, bytes);
}

/** A 64-bit attribute in network byte order. */
export function be64(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return attribute(type, bytes);
}

/** A 16-bit attribute in the machine's byte order. */
export function u16(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value & 255, value >> 8));
}

/** An 8-bit attribute. */
export function u8(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value));
}

/** A NUL-terminated text. */
export function text(type: number, value: string): Uint8Array {
  return attribute(type, Buffer.from(`${value}\0`));
}

/** An attribute that holds others. */
export function nest(type: number, ...parts: Uint8Array[]): Uint8Array {
  return attribute(type | NLA_F_NESTED, Buffer.concat(parts));
}

/** The attributes in `bytes` from an offset on, by type; a later one of the same type wins. */
export function attributes(bytes: Uint8Array, offset = 0): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (const [type, value] of eachAttribute(bytes, offset)) found.set(type, value);
  return found;
}

/** The attributes in `bytes` in their order, for lists that repeat a type. */
export function eachAttribute(bytes: Uint8Array, offset = 0): [type: number, value: Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: [number, Uint8Array][] = [];
  for (let at = offset; at + 4 <= bytes.length;) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) break;
    found.push([view.getUint16(at + 2, true) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length)]);
    at += (length + 3) & ~3;
  }
  return found;
}

/** The text of an attribute, without its NUL. */
export function textOf(value: Uint8Array | undefined): string {
  if (value === undefined) return "";
  const end = value.indexOf(0);
  return Buffer.from(end < 0 ? value : value.subarray(0, end)).toString();
}

/** The unsigned number in an attribute of 1, 2 or 4 bytes in the machine's order; 0 for none. */
export function numberOf(value: Uint8Array | undefined): number {
  return value === undefined ? 0 : [...value.subarray(0, 4)].reduceRight((sum, byte) => sum * 256 + byte, 0);
}

/** The unsigned number in an attribute in network byte order; 0 for none. */
export function beNumberOf(value: Uint8Array | undefined): number {
  return value === undefined ? 0 : [...value].reduce((sum, byte) => sum * 256 + byte, 0);
}

/**
 * A netlink socket in the network namespace of the calling thread, which it keeps whatever the thread does later.
 * Requests are handled by the kernel inside of `send`, so that answers can be read at once: nothing here waits for anybody but the kernel's own locks.
 */
export class Netlink {
  readonly fd: number;
  #sequence = 0;
  static #buffer = new Uint8Array(64 << 10);

  constructor(family: number, fd = openNetlink(family)) {
    this.fd = fd;
  }

  /** Sends messages in one system call; one answer for each that asked for an ack or a dump, in order. Errors are in the answers, not thrown. */
  exchange(messages: readonly NetlinkMessage[]): NetlinkAnswer[] {
    if (messages.length === 0) return [];
    const first = this.#sequence + 1;
    this.#sequence += messages.length;
    const packet = encode(messages, first);
    check(libc().send(this.fd, packet, packet.length, 0), "send", "netlink");
    const answers = messages.map((): NetlinkAnswer => ({ errno: 0, text: "", replies: [] }));
    const open = new Set<number>();
    messages.forEach((message, index) => {
      if ((message.flags & (NLM_F.ack | NLM_F.dump)) !== 0) open.add(index);
    });
    this.#collect(first, answers, open);
    return answers;
  }

  /** As {@link exchange}, but the first error is thrown; `what` names the act for its message. */
  request(messages: readonly NetlinkMessage[], what: string): NetlinkAnswer[] {
    const answers = this.exchange(messages);
    const failed = answers.find((answer) => answer.errno !== 0);
    if (failed !== undefined) throw netlinkError(failed, what);
    return answers;
  }

  close(): void {
    libc().close(this.fd);
  }

  #collect(first: number, answers: NetlinkAnswer[], open: Set<number>): void {
    const buffer = Netlink.#buffer;
    for (;;) {
      const length = Number(libc().recv(this.fd, buffer, buffer.length, MSG_DONTWAIT));
      if (length < 0) {
        const number = errno();
        if (number === ERRNO.EINTR) continue;
        if (number === ERRNO.EAGAIN && open.size === 0) return;
        throw systemError("recv", number, "netlink");
      }
      readPacket(buffer.slice(0, length), first, answers, open);
      if (open.size === 0) return;
    }
  }
}

/** The error of a request as a {@link SystemError} whose message carries the kernel's sentence. */
export function netlinkError(answer: NetlinkAnswer, what: string): Error {
  const error = systemError("netlink", answer.errno, what);
  if (answer.text !== "") error.message = `${errnoName(answer.errno)}: ${what}: ${answer.text}`;
  return error;
}

/** Opens a netlink socket in the calling thread's namespace: system calls only, as code inside of a foreign namespace must. */
export function openNetlink(family: number): number {
  const c = libc();
  const fd = check(c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family), "socket", "netlink");
  for (const [level, option, value] of OPTIONS) c.setsockopt(fd, level, option, value, 4);
  return fd;
}

const OPTIONS: readonly (readonly [level: number, option: number, value: Int32Array])[] = [
  [SOL_SOCKET, SO_SNDBUFFORCE, Int32Array.of(BUFFER_BYTES)],
  [SOL_SOCKET, SO_RCVBUFFORCE, Int32Array.of(BUFFER_BYTES)],
  [SOL_NETLINK, NETLINK_CAP_ACK, Int32Array.of(1)],
  [SOL_NETLINK, NETLINK_EXT_ACK, Int32Array.of(1)],
];

function encode(messages: readonly NetlinkMessage[], first: number): Uint8Array {
  const size = messages.reduce((sum, message) => sum + ((16 + message.body.length + 3) & ~3), 0);
  const packet = new Uint8Array(size);
  const view = new DataView(packet.buffer);
  let at = 0;
  messages.forEach((message, index) => {
    view.setUint32(at, 16 + message.body.length, true);
    view.setUint16(at + 4, message.type, true);
    view.setUint16(at + 6, message.flags | NLM_F.request, true);
    view.setUint32(at + 8, first + index, true);
    packet.set(message.body, at + 16);
    at += (16 + message.body.length + 3) & ~3;
  });
  return packet;
}

function readPacket(packet: Uint8Array, first: number, answers: NetlinkAnswer[], open: Set<number>): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  for (let at = 0; at + 16 <= packet.length;) {
    const length = view.getUint32(at, true);
    if (length < 16) return;
    const type = view.getUint16(at + 4, true);
    const index = view.getUint32(at + 8, true) - first;
    const answer = answers[index];
    const body = packet.subarray(at + 16, at + length);
    if (answer !== undefined) {
      if (type === NLMSG_ERROR) {
        if (answer.errno === 0) readError(body, view.getUint16(at + 6, true), answer);
        open.delete(index);
      } else if (type === NLMSG_DONE) {
        const result = body.length < 4 ? 0 : new DataView(body.buffer, body.byteOffset).getInt32(0, true);
        if (result < 0) answer.cutShort = -result;
        open.delete(index);
      } else answer.replies.push({ type, body });
    }
    at += (length + 3) & ~3;
  }
}

function readError(body: Uint8Array, flags: number, answer: NetlinkAnswer): void {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  answer.errno = -view.getInt32(0, true);
  if ((flags & NLM_F_ACK_TLVS) === 0) return;
  const echoed = (flags & NLM_F_CAPPED) !== 0 ? 16 : view.getUint32(4, true);
  answer.text = textOf(attributes(body, 4 + echoed).get(NLMSGERR_ATTR_MSG));
}
