import { constants } from "node:fs";
import { AT_FDCWD, ERRNO, check, cstr, errno, libc, systemError } from "./libc.ts";

const O_CLOEXEC = 0o2000000;
/** `O_PATH`: a descriptor that names a file without opening it. */
export const O_PATH = 0o10000000;

const BUSY_TRIES = 100;

/** Opens a file; `O_CLOEXEC` is always added. */
export function openFd(path: string | Uint8Array, flags: number, mode = 0): number {
  return check(libc().open(cstr(path), flags | O_CLOEXEC, mode), "open", String(path));
}

/** Another descriptor for the same, close-on-exec. */
export function duplicate(fd: number): number {
  const F_DUPFD_CLOEXEC = 1030;
  return check(libc().fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl");
}

/** Closes descriptors; those below 0 are skipped, errors are ignored. */
export function closeFd(...fds: number[]): void {
  for (const fd of fds) if (fd >= 0) libc().close(fd);
}

/** A pipe as `[read end, write end]`, both close-on-exec; `flags` may add `O_NONBLOCK`. */
export function makePipe(flags = 0): [number, number] {
  const ends = new Int32Array(2);
  check(libc().pipe2(ends, flags | O_CLOEXEC), "pipe2");
  return [ends[0] ?? -1, ends[1] ?? -1];
}

/** An anonymous file in memory. */
export function memoryFile(name: string): number {
  const MFD_CLOEXEC = 1;
  return check(libc().memfd_create(cstr(name), MFD_CLOEXEC), "memfd_create");
}

/** Writes all of `data`, going on after short writes and signals. Meant for small writes and descriptors that do not block. */
export function writeAll(fd: number, data: Uint8Array): void {
  let rest = data;
  for (let tries = 0; rest.length > 0; tries++) {
    const count = Number(libc().write(fd, rest, rest.length));
    if (count >= 0) rest = rest.subarray(count);
    else if (errno() !== ERRNO.EINTR || tries > BUSY_TRIES) throw systemError("write", errno());
  }
}

/** Everything from the start of a small file, whatever its position (memory files, /proc, /sys). */
export function readFromStart(fd: number, limit = 1 << 20): Buffer {
  const pieces: Buffer[] = [];
  for (let offset = 0; offset < limit;) {
    const piece = Buffer.allocUnsafe(Math.min(64 << 10, limit - offset));
    const count = check(libc().pread(fd, piece, piece.length, offset), "pread");
    if (count === 0) break;
    pieces.push(piece.subarray(0, count));
    offset += count;
  }
  return Buffer.concat(pieces);
}

/** Writes a short text to an existing file of /proc, /sys or a cgroup in one system call. */
export function writeFileOnce(path: string, text: string): void {
  const fd = openFd(path, constants.O_WRONLY);
  try {
    const bytes = Buffer.from(text);
    check(libc().write(fd, bytes, bytes.length), "write", path);
  } finally {
    closeFd(fd);
  }
}

/** Removes a file or an empty directory; false when it does not exist. */
export function unlinkPath(path: string, options: { directory?: boolean } = {}): boolean {
  const AT_REMOVEDIR = 0x200;
  if (libc().unlinkat(AT_FDCWD, cstr(path), options.directory === true ? AT_REMOVEDIR : 0) === 0) return true;
  if (errno() === ERRNO.ENOENT) return false;
  throw systemError("unlink", errno(), path);
}
