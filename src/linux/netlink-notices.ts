import { ERRNO, check, errno, libc, systemError } from "./libc.ts";

const AF_NETLINK = 16;
const SOL_NETLINK = 270;
const ADD_MEMBERSHIP = 1;
const MSG_DONTWAIT = 0x40;
const BUFFER_BYTES = 64 << 10;

/** A message that the kernel sends to all who listen. */
export interface Notice {
  type: number;
  /** The port id of the socket whose request it tells of. */
  sender: number;
  body: Uint8Array;
}

/** Makes a netlink socket that was not used yet a listener of a multicast group. */
export function subscribe(fd: number, group: number): void {
  // A socket without a number of its own gets no notices.
  check(libc().bind(fd, Uint8Array.of(AF_NETLINK, ...new Uint8Array(11)), 12), "bind", "netlink");
  check(libc().setsockopt(fd, SOL_NETLINK, ADD_MEMBERSHIP, Int32Array.of(group), 4), "setsockopt", "netlink group");
}

/** The number by which the kernel calls a netlink socket. */
export function portIdOf(fd: number): number {
  const address = new Uint8Array(12);
  check(libc().getsockname(fd, address, Uint32Array.of(address.length)), "getsockname", "netlink");
  return new DataView(address.buffer).getUint32(4, true);
}

/** Reads all notices that wait; `lost` where the kernel had to drop some. */
export function drainNotices(fd: number): { notices: Notice[]; lost: boolean } {
  const buffer = new Uint8Array(BUFFER_BYTES);
  const notices: Notice[] = [];
  let lost = false;
  for (;;) {
    const length = Number(libc().recv(fd, buffer, buffer.length, MSG_DONTWAIT));
    if (length >= 0) notices.push(...noticesIn(buffer.slice(0, length)));
    else if (errno() === ERRNO.EAGAIN) return { notices, lost };
    else if (errno() === ERRNO.ENOBUFS) lost = true;
    else if (errno() !== ERRNO.EINTR) throw systemError("recv", errno(), "netlink");
  }
}

function noticesIn(packet: Uint8Array): Notice[] {
  const view = new DataView(packet.buffer);
  const found: Notice[] = [];
  for (let at = 0; at + 16 <= packet.length;) {
    const length = view.getUint32(at, true);
    if (length < 16) break;
    found.push({
      type: view.getUint16(at + 4, true),
      sender: view.getUint32(at + 12, true),
      body: packet.subarray(at + 16, at + length),
    });
    at += (length + 3) & ~3;
  }
  return found;
}
