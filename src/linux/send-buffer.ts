import { readdirSync, readlinkSync } from "node:fs";
import { closeFd } from "./fd.ts";
import { libc } from "./libc.ts";
import { stealFd } from "./pidfd.ts";

const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;
const SO_ACCEPTCONN = 30;
const SOCK_SEQPACKET = 5;

/**
 * Makes the connected packet sockets of another process hold fewer bytes that it has sent and nobody has read; returns how many there were. The kernel
 * doubles the number for its own needs (socket(7)). None where it does not let us at the process.
 * @param process a process and its pidfd
 */
export function narrowSockets(process: { pid: number; pidfd: number }, bytes: number): number {
  let narrowed = 0;
  eachSocket(process, (copy) => {
    if (isConnectedPackets(copy) && libc().setsockopt(copy, SOL_SOCKET, SO_SNDBUF, Int32Array.of(bytes), 4) === 0) narrowed++;
  });
  return narrowed;
}

/** Lets the connected packet sockets of another process hold more; nothing happens where the kernel does not let us at the process. */
export function widenSockets(process: { pid: number; pidfd: number }, bytes: number): void {
  eachSocket(process, (copy) => {
    if (isConnectedPackets(copy)) widenSocket(copy, bytes);
  });
}

/** Lets a socket hold at least as many bytes that nobody has read, or as many as the system allows. */
export function widenSocket(fd: number, bytes: number): void {
  if (option(fd, SO_SNDBUF) >= bytes) return;
  const size = Int32Array.of(bytes);
  if (libc().setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, size, 4) !== 0) libc().setsockopt(fd, SOL_SOCKET, SO_SNDBUF, size, 4);
}

/** The number that the last process asked about had for it: programs of one kind have the same. */
let lastAccepted = 0;

/**
 * Whether another process has accepted a connection on a packet socket; nothing where the kernel does not let us at the process. A yes takes some
 * microseconds, a no some hundred.
 * @param process a process and its pidfd
 */
export function hasAcceptedPackets(process: { pid: number; pidfd: number }): boolean | undefined {
  let accepted: boolean | undefined;
  const look = (copy: number, fd: number): void => {
    accepted ??= false;
    if (!isConnectedPackets(copy)) return;
    accepted = true;
    lastAccepted = fd;
  };
  lookAt(process.pidfd, lastAccepted, look);
  if (accepted !== true) eachSocket(process, look);
  return accepted;
}

function eachSocket(process: { pid: number; pidfd: number }, look: (copy: number, fd: number) => void): void {
  for (const fd of socketsOf(process.pid)) lookAt(process.pidfd, fd, look);
}

function lookAt(pidfd: number, fd: number, look: (copy: number, fd: number) => void): void {
  let copy = -1;
  try {
    copy = stealFd(pidfd, fd);
    look(copy, fd);
  } catch {
    // Closed meanwhile, or not ours to look at.
  } finally {
    closeFd(copy);
  }
}

function isConnectedPackets(fd: number): boolean {
  return option(fd, SO_TYPE) === SOCK_SEQPACKET && option(fd, SO_ACCEPTCONN) === 0;
}

function socketsOf(pid: number): number[] {
  const folder = `/proc/${pid}/fd`;
  const isSocket = (fd: string): boolean => {
    try {
      return readlinkSync(`${folder}/${fd}`).startsWith("socket:");
    } catch {
      return false;
    }
  };
  try {
    return readdirSync(folder).filter(isSocket).map(Number);
  } catch {
    return [];
  }
}

function option(fd: number, name: number): number {
  const value = new Int32Array(1);
  return libc().getsockopt(fd, SOL_SOCKET, name, value, Int32Array.of(4)) === 0 ? (value[0] ?? -1) : -1;
}
