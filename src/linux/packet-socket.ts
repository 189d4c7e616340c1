import { dirname, basename } from "node:path";
import { O_PATH, closeFd, openFd } from "./fd.ts";
import { ERRNO, check, errno, libc, systemError } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SHUT_WR = 1;

/**
 * Connects to a SOCK_SEQPACKET unix socket by a path of any length (`sun_path` ends at 107 bytes, so the directory is named by
 * descriptor). Returns a descriptor that does not block.
 */
export function connectPackets(path: string): number {
  return connectUnix(path, SOCK_SEQPACKET);
}

/** Connects to a SOCK_DGRAM unix socket (`/dev/log`, journald's), by a path of any length. Returns a descriptor that does not block. */
export function connectDatagrams(path: string): number {
  return connectUnix(path, SOCK_DGRAM);
}

function connectUnix(path: string, type: number): number {
  const directory = openFd(dirname(path), O_PATH);
  try {
    const fd = check(libc().socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    const address = new Uint8Array(110);
    new DataView(address.buffer).setUint16(0, AF_UNIX, true);
    const name = Buffer.from(`/proc/self/fd/${directory}/${basename(path)}\0`);
    address.set(name, 2);
    if (libc().connect(fd, address, 2 + name.length) === 0) return fd;
    const failed = systemError("connect", errno(), path);
    closeFd(fd);
    throw failed;
  } finally {
    closeFd(directory);
  }
}

/** Sends one packet without waiting: false when the socket is full. Throws EPIPE or ECONNRESET when the other side has gone. */
export function sendPacket(fd: number, data: Uint8Array): boolean {
  if (Number(libc().send(fd, data, data.length, MSG_DONTWAIT | MSG_NOSIGNAL)) >= 0) return true;
  if (errno() === ERRNO.EAGAIN || errno() === ERRNO.ENOBUFS || errno() === ERRNO.EINTR) return false;
  throw systemError("send", errno());
}

/** Tells the other side that nothing more will be sent. */
export function endPackets(fd: number): void {
  libc().shutdown(fd, SHUT_WR);
}
