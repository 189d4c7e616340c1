import { join } from "node:path";
import { addressBytes, formatAddress, addressOfBytes, parseAddress } from "./addresses.ts";
import type { HostPort } from "./port-sockets.ts";

/** What the keeper of ports is asked; the numbers are those of `port-keeper.c`. */
export const KEEPER = { hello: 1, add: 2, remove: 3, list: 4, retire: 5 } as const;

/** Most records in one message. */
export const RECORDS = 64;
const HEADER = 24;
const RECORD = 48;
const PROTOCOL = { tcp: 6, udp: 17, sctp: 132 } as const;
/** The largest message. */
export const MESSAGE_BYTES = HEADER + RECORDS * RECORD;

/** A host port for the keeper: where it leads, and the bound socket on its first way there. */
export interface KeptPort extends HostPort {
  /** Undefined while there is nowhere to lead to, or where it is only to be kept from others. */
  target?: { address: string; port: number } | undefined;
  socket?: number | undefined;
  /** Whether only this host itself reaches the socket, by its loopback device, whatever rules there are. */
  local?: boolean | undefined;
}

/** What the keeper says with each answer. */
export interface KeeperAnswer {
  version: number;
  pid: number;
  /** How many ports it keeps now; it ends when there are none. */
  ports: number;
  connections: number;
  /** Of a list: ports that are kept. Of ports that were handed over: those that could not be taken. */
  records: HostPort[];
  /** Of a list: the place from which on the next message of it is asked. */
  next: number;
}

/** A message of at most {@link RECORDS} ports; that for a list says from which place on. */
export function keeperMessage(operation: number, ports: readonly KeptPort[], from = 0): Uint8Array {
  const message = new Uint8Array(HEADER + ports.length * RECORD);
  const view = new DataView(message.buffer);
  view.setUint32(0, operation, true);
  view.setUint32(4, ports.length, true);
  view.setUint32(8, from, true);
  ports.forEach((port, index) => {
    const at = HEADER + index * RECORD;
    const { family, bytes } = addressOf(port.hostAddress);
    message.set([PROTOCOL[port.protocol], family], at);
    view.setUint16(at + 2, port.hostPort, true);
    message.set(bytes, at + 4);
    view.setUint32(at + 44, port.local === true ? 1 : 0, true);
    message[at + 21] = port.socket === undefined ? 0 : 1;
    if (port.target === undefined) return;
    const target = addressOf(port.target.address);
    message[at + 20] = target.family;
    view.setUint16(at + 22, port.target.port, true);
    message.set(target.bytes, at + 24);
  });
  return message;
}

/** An answer taken apart. Throws for one that is too short. */
export function keeperAnswer(message: Uint8Array): KeeperAnswer {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const records = Array.from({ length: view.getUint32(4, true) }, (_, index): HostPort => {
    const at = HEADER + index * RECORD;
    const protocol = Object.entries(PROTOCOL).find(([, number]) => number === message[at])?.[0] as HostPort["protocol"];
    const bytes = message.slice(at + 4, at + (message[at + 1] === 4 ? 8 : 20));
    return { protocol, hostAddress: formatAddress(addressOfBytes(bytes)), hostPort: view.getUint16(at + 2, true) };
  });
  return {
    version: view.getUint32(8, true),
    pid: view.getUint32(12, true),
    ports: view.getUint32(16, true),
    connections: view.getUint32(20, true),
    records,
    next: records.length === 0 ? 0 : view.getUint32(HEADER + (records.length - 1) * RECORD + 40, true),
  };
}

/** Where the keeper of a daemon listens. */
export function keeperSocket(execRoot: string): string {
  return join(execRoot, "ports.sock");
}

/** One name for one port. */
export function portKey({ protocol, hostAddress, hostPort }: HostPort): string {
  return `${hostAddress} ${hostPort}/${protocol}`;
}

function addressOf(text: string): { family: 4 | 6; bytes: Uint8Array } {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`Cannot keep a port of "${text}": that is no address`);
  return { family: address.family, bytes: addressBytes(address) };
}
