import { libc } from "./libc.ts";

/** Also SIOCOUTQ: unix(7), tcp(7). */
const TIOCOUTQ = 0x5411;

/** How many of the bytes that were written to a socket its peer has not read (unix) or not confirmed (TCP) yet; 0 where the kernel does not tell. */
export function unreadBytes(fd: number): number {
  const count = new Int32Array(1);
  return libc().ioctl(fd, TIOCOUTQ, new Uint8Array(count.buffer)) === 0 ? (count[0] ?? 0) : 0;
}
