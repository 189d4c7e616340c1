import { readdirSync, readlinkSync } from "node:fs";
import { closeFd } from "./fd.ts";
import { check, libc } from "./libc.ts";
import { stealFd } from "./pidfd.ts";

const TIOCSWINSZ = 0x5414;

/**
 * Sets the size of the pseudo-terminal whose master the process behind `pidfd` holds; the kernel then sends SIGWINCH.
 * False when it holds none. `struct winsize`: u16 rows, columns, and two that nobody uses.
 */
export function resizeTerminalOf(pid: number, pidfd: number, size: { height: number; width: number }): boolean {
  const master = readdirSync(`/proc/${pid}/fd`).find((fd) => isMaster(`/proc/${pid}/fd/${fd}`));
  if (master === undefined) return false;
  const fd = stealFd(pidfd, Number(master));
  try {
    check(libc().ioctl(fd, TIOCSWINSZ, new Uint8Array(new Uint16Array([size.height, size.width, 0, 0]).buffer)), "ioctl", "TIOCSWINSZ");
    return true;
  } finally {
    closeFd(fd);
  }
}

function isMaster(link: string): boolean {
  try {
    return readlinkSync(link).endsWith("ptmx");
  } catch {
    return false;
  }
}
