import { errno, errnoName, libc } from "../linux/libc.ts";
import { addressBytes, parseAddress } from "./addresses.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK = { tcp: 1, udp: 2, sctp: 1 } as const;
const IPPROTO = { tcp: 6, udp: 17, sctp: 132 } as const;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const ON = Int32Array.of(1);

/** A host port as it is asked for. */
export interface HostPort {
  protocol: "tcp" | "udp" | "sctp";
  hostAddress: string;
  hostPort: number;
}

/** A host port that a socket of the daemon holds. */
export interface HeldPort extends HostPort {
  fd: number;
}

/**
 * Holds a host port by a bound socket (TCP: listening), so that no other program takes it, and one that has it is found at once.
 * Returns the descriptor, or the errno's name where the kernel refuses or lacks the protocol.
 */
export function holdPort({ protocol, hostAddress, hostPort }: HostPort): number | string {
  const address = parseAddress(hostAddress);
  if (address === undefined) return "EINVAL";
  const c = libc();
  const fd = c.socket(address.family === 4 ? AF_INET : AF_INET6, SOCK[protocol] | SOCK_CLOEXEC, IPPROTO[protocol]);
  if (fd < 0) return errnoName(errno());
  // Without it, connections that ended a minute ago would still count as the port's users; UDP has none, and would share the port.
  if (protocol !== "udp") c.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ON, 4);
  if (address.family === 6) c.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, ON, 4);
  const name = socketName(address, hostPort);
  if (c.bind(fd, name, name.length) === 0 && (protocol === "udp" || c.listen(fd, 1) === 0)) return fd;
  const failed = errnoName(errno());
  c.close(fd);
  return failed;
}

/** The `sockaddr` of an address and a port. */
function socketName(address: NonNullable<ReturnType<typeof parseAddress>>, port: number): Uint8Array<ArrayBuffer> {
  const name = address.family === 4 ? new Uint8Array(16) : new Uint8Array(28);
  new DataView(name.buffer).setUint16(0, address.family === 4 ? AF_INET : AF_INET6, true);
  new DataView(name.buffer).setUint16(2, port, false);
  name.set(addressBytes(address), address.family === 4 ? 4 : 8);
  return name;
}

/** Lets a port go. */
export function dropPort(fd: number): void {
  if (fd >= 0) libc().close(fd);
}
