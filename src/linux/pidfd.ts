import { ERRNO, check, errno, libc, systemError } from "./libc.ts";

const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_GETFD = 438;

/** `PIDFD_GET_INFO`, `_IOWR(0xFF, 11, struct pidfd_info)` with the 64-byte first version of the struct. include/uapi/linux/pidfd.h */
const PIDFD_GET_INFO = 0xc040ff0b;
const PIDFD_INFO_EXIT = 1 << 3;
const MASK_AT = 0;
const EXIT_CODE_AT = 60;

/** A descriptor of a process, or undefined when the process is gone. Throws for anything else. */
export function openPidfd(pid: number): number | undefined {
  const fd = Number(libc().syscall(SYS_PIDFD_OPEN, pid, 0, 0, 0, 0, 0));
  if (fd >= 0) return fd;
  if (errno() === ERRNO.ESRCH || errno() === ERRNO.EINVAL) return undefined;
  throw systemError("pidfd_open", errno(), String(pid));
}

/** Sends a signal through a pidfd; false when the process is gone. */
export function signalPidfd(pidfd: number, signal: number): boolean {
  if (Number(libc().syscall(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, 0, 0, 0, 0)) === 0) return true;
  if (errno() === ERRNO.ESRCH) return false;
  throw systemError("pidfd_send_signal", errno());
}

/** A duplicate of another process's descriptor (needs CAP_SYS_PTRACE over it). */
export function stealFd(pidfd: number, fd: number): number {
  return check(libc().syscall(SYS_PIDFD_GETFD, pidfd, fd, 0, 0, 0, 0), "pidfd_getfd", String(fd));
}

/**
 * The wait status of a process that has been reaped, from a pidfd that was opened before (kernel 6.15).
 * Undefined while it is not reaped, and where the kernel cannot tell.
 */
export function exitStatusOf(pidfd: number): number | undefined {
  const info = new DataView(new ArrayBuffer(64));
  info.setBigUint64(MASK_AT, BigInt(PIDFD_INFO_EXIT), true);
  if (libc().ioctl(pidfd, PIDFD_GET_INFO, new Uint8Array(info.buffer)) < 0) return undefined;
  if ((info.getBigUint64(MASK_AT, true) & BigInt(PIDFD_INFO_EXIT)) === 0n) return undefined;
  return info.getInt32(EXIT_CODE_AT, true);
}

/** Exit code as a shell sees it: the code itself, or 128 + signal. */
export function codeOfStatus(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}

/** Collects a child of ours that has ended, so that no zombie stays: its wait status. Never waits; undefined when `pid` is no dead child of ours. */
export function reap(pid: number): number | undefined {
  const WNOHANG = 1;
  const status = new Int32Array(1);
  return libc().waitpid(pid, status, WNOHANG) === pid ? status[0] : undefined;
}
