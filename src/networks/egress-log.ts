import { messageOf } from "../base/errors.ts";
import type { PollEvent } from "../linux/epoll-protocol.ts";
import { poller } from "../linux/epoll.ts";
import { NETLINK_NETFILTER, NLM_F, Netlink, attribute, attributes, be32 } from "../linux/netlink.ts";
import { addressOfBytes, formatAddress } from "./addresses.ts";

/** nfnetlink_log: numbers are those of linux/netfilter/nfnetlink_log.h. */
const PACKET = (4 << 8) | 0;
const CONFIG = (4 << 8) | 1;
const BIND = Uint8Array.of(1);
const COPY_PACKETS = 2;
const PAYLOAD = 9;
/** How many groups are tried: each has one listener. */
const GROUPS = 8;
const NAMES: Readonly<Record<number, string>> = { 1: "icmp", 6: "tcp", 17: "udp", 58: "icmp", 132: "sctp" };
const WITH_PORTS = [6, 17, 132];
const EXTENSIONS = [0, 43, 60];

/** A packet that was refused. */
export interface RefusedPacket {
  from: string;
  to: string;
  /** `tcp`, or the number of one without a name. */
  protocol: string;
  port: number | undefined;
}

/** A listener for refused packets. */
export interface EgressLog {
  group: number;
  close(): void;
}

/** Listens to the first free group from `first` on; throws when none is. Packets are read by the epoll thread and told in batches. */
export function listenToRefused(first: number, tell: (packets: RefusedPacket[]) => void): EgressLog {
  const { socket, group } = bind(first);
  const source = poller().add(socket.fd, "datagrams", ({ data, runs = [] }: PollEvent) => {
    if (data === undefined) return;
    const packets: RefusedPacket[] = [];
    for (let at = 0; at + 1 < runs.length; at += 2) packets.push(...readDatagram(new Uint8Array(data.slice(runs[at], runs[at + 1]))));
    if (packets.length > 0) tell(packets);
  });
  return {
    group,
    close() {
      source.close();
      socket.close();
    },
  };
}

function bind(first: number): { socket: Netlink; group: number } {
  let refused: unknown;
  for (let group = first; group < first + GROUPS; group++) {
    const socket = new Netlink(NETLINK_NETFILTER);
    const header = Uint8Array.of(0, 0, group >> 8, group & 255);
    const ask = (...parts: Uint8Array[]) => ({ type: CONFIG, flags: NLM_F.ack, body: Buffer.concat([header, ...parts]) });
    const mode = attribute(2, Uint8Array.of(0, 0, 0, 128, COPY_PACKETS, 0));
    try {
      // One at a time: the second is refused where the first was.
      socket.request([ask(attribute(1, BIND))], `listen to group ${group} of refused packets`);
      socket.request([ask(mode)], "ask for refused packets");
      // A tenth of a second at most until they are told.
      socket.request([ask(be32(4, 10))], "ask for refused packets soon");
      return { socket, group };
    } catch (error) {
      refused = error;
      socket.close();
    }
  }
  throw new Error(messageOf(refused), { cause: refused });
}

function readDatagram(bytes: Uint8Array): RefusedPacket[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: RefusedPacket[] = [];
  for (let at = 0; at + 16 <= bytes.length;) {
    const length = view.getUint32(at, true);
    if (length < 16 || at + length > bytes.length) break;
    const payload = view.getUint16(at + 4, true) === PACKET ? attributes(bytes.subarray(at + 16, at + length), 4).get(PAYLOAD) : undefined;
    const packet = payload === undefined ? undefined : readPacket(payload);
    if (packet !== undefined) found.push(packet);
    at += (length + 3) & ~3;
  }
  return found;
}

/** Addresses, protocol and port of an IPv4 or IPv6 packet; undefined where it is cut too short for its addresses. */
export function readPacket(bytes: Uint8Array): RefusedPacket | undefined {
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4 && bytes.length >= 20) {
    return describe(bytes, {
      from: bytes.subarray(12, 16),
      to: bytes.subarray(16, 20),
      protocol: bytes[9] ?? 0,
      at: ((bytes[0] ?? 0) & 15) * 4,
    });
  }
  if (version !== 6 || bytes.length < 40) return undefined;
  let protocol = bytes[6] ?? 0;
  let at = 40;
  while (EXTENSIONS.includes(protocol) && at + 2 <= bytes.length) {
    protocol = bytes[at] ?? 0;
    at += 8 * ((bytes[at + 1] ?? 0) + 1);
  }
  return describe(bytes, { from: bytes.subarray(8, 24), to: bytes.subarray(24, 40), protocol, at });
}

function describe(
  bytes: Uint8Array,
  { from, to, protocol, at }: { from: Uint8Array; to: Uint8Array; protocol: number; at: number },
): RefusedPacket {
  const hasPort = WITH_PORTS.includes(protocol) && at + 4 <= bytes.length;
  return {
    from: formatAddress(addressOfBytes(from)),
    to: formatAddress(addressOfBytes(to)),
    protocol: NAMES[protocol] ?? String(protocol),
    port: hasPort ? (bytes[at + 2] ?? 0) * 256 + (bytes[at + 3] ?? 0) : undefined,
  };
}
