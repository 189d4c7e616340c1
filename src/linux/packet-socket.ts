import { ptr } from "bun:ffi";
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
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MMSGHDR_BYTES = 64;
const CMSGHDR_BYTES = 16;
const POLLIN = 1;

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
  return withUnixName(path, (address) => {
    const fd = check(libc().socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    if (libc().connect(fd, address, address.length) === 0) return fd;
    const failed = systemError("connect", errno(), path);
    closeFd(fd);
    throw failed;
  });
}

/** Listens on a SOCK_SEQPACKET unix socket at a path of any length, where nothing may be yet. */
export function listenPackets(path: string, backlog: number): number {
  return withUnixName(path, (address) => {
    const fd = check(libc().socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    if (libc().bind(fd, address, address.length) === 0 && libc().listen(fd, backlog) === 0) return fd;
    const failed = systemError("bind", errno(), path);
    closeFd(fd);
    throw failed;
  });
}

function withUnixName(path: string, use: (address: Uint8Array) => number): number {
  const directory = openFd(dirname(path), O_PATH);
  try {
    const name = Buffer.from(`/proc/self/fd/${directory}/${basename(path)}\0`);
    const address = new Uint8Array(2 + name.length);
    new DataView(address.buffer).setUint16(0, AF_UNIX, true);
    address.set(name, 2);
    return use(address);
  } finally {
    closeFd(directory);
  }
}

/** Sends one packet together with descriptors (at most 253), which the other side gets copies of. Waits for nothing; throws EAGAIN where the socket is full. */
export function sendDescriptors(fd: number, data: Uint8Array, descriptors: readonly number[]): void {
  const length = CMSGHDR_BYTES + 4 * descriptors.length;
  const control = new DataView(new ArrayBuffer((length + 7) & ~7));
  control.setBigUint64(0, BigInt(length), true);
  control.setInt32(8, SOL_SOCKET, true);
  control.setInt32(12, SCM_RIGHTS, true);
  descriptors.forEach((one, index) => control.setInt32(CMSGHDR_BYTES + 4 * index, one, true));
  const vector = BigUint64Array.of(BigInt(ptr(data)), BigInt(data.length));
  const message = new BigUint64Array(MMSGHDR_BYTES / 8);
  message.set([0n, 0n, BigInt(ptr(vector)), 1n]);
  if (descriptors.length > 0) message.set([BigInt(ptr(control)), BigInt(control.byteLength)], 4);
  check(libc().sendmmsg(fd, message, 1, MSG_DONTWAIT | MSG_NOSIGNAL), "sendmmsg");
}

/** The next packet, waited for at most `patience` ms; empty when the other side has gone. Throws ETIMEDOUT. Blocks its thread: for Workers. */
export function receivePacket(fd: number, buffer: Uint8Array, patience: number): Uint8Array {
  const asked = new DataView(new ArrayBuffer(8));
  asked.setInt32(0, fd, true);
  asked.setInt16(4, POLLIN, true);
  if (libc().poll(new Uint8Array(asked.buffer), 1, patience) === 0) throw systemError("recv", ERRNO.ETIMEDOUT);
  return buffer.subarray(0, check(libc().recv(fd, buffer, buffer.length, MSG_DONTWAIT), "recv"));
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
