import { constants } from "node:fs";
import { closeFd, openFd } from "./fd.ts";
import { ERRNO, errno, libc, systemError } from "./libc.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Takes the exclusive lock of a file (made when missing), or returns undefined when another process holds it.
 * The kernel gives it back when the process ends, however that happens. https://man7.org/linux/man-pages/man2/flock.2.html
 */
export function lockFile(path: string): Disposable | undefined {
  const fd = openFd(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  if (libc().flock(fd, LOCK_EX | LOCK_NB) < 0) {
    const number = errno();
    closeFd(fd);
    if (number === ERRNO.EWOULDBLOCK) return undefined;
    throw systemError("flock", number, path);
  }
  return { [Symbol.dispose]: () => closeFd(fd) };
}
