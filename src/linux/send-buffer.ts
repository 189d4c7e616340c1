import { readdirSync, readlinkSync } from "node:fs";
import { closeFd } from "./fd.ts";
import { libc } from "./libc.ts";
import { stealFd } from "./pidfd.ts";

const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_SNDBUF = 7;
const SO_ACCEPTCONN = 30;
const SOCK_SEQPACKET = 5;

/**
 * Makes the connected packet sockets of another process hold fewer bytes that it has sent and nobody has read; returns how many there were. The kernel
 * doubles the number for its own needs (socket(7)). None where it does not let us at the process.
 * @param process a process and its pidfd
 */
export function narrowSockets(process: { pid: number; pidfd: number }, bytes: number): number {
  let narrowed = 0;
  for (const fd of socketsOf(process.pid)) {
    let copy = -1;
    try {
      copy = stealFd(process.pidfd, fd);
      if (option(copy, SO_TYPE) !== SOCK_SEQPACKET || option(copy, SO_ACCEPTCONN) !== 0) continue;
      if (libc().setsockopt(copy, SOL_SOCKET, SO_SNDBUF, Int32Array.of(bytes), 4) === 0) narrowed++;
    } catch {
      // Closed meanwhile, or not ours to change.
    } finally {
      closeFd(copy);
    }
  }
  return narrowed;
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
