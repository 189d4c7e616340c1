import { dlopen, type FFIFunction, FFIType, type Pointer, ptr } from "bun:ffi";
import { ERRNO, errno, libc, systemError } from "./libc.ts";

/**
 * File system calls for Workers that make or read whole trees: names are byte strings (one character a byte, as `oci/tar-entry.ts` has them),
 * relative to a directory's descriptor. Each returns a result of 0 or more, or the negative error number: `must` turns that into a throw.
 * All of them block: never call them on the main thread, except on a single small file.
 */
export type ByteName = string;

const MORE = {
  getdents64: { args: ["i32", "ptr", FFIType.i64_fast], returns: FFIType.i64_fast },
  chmod: { args: ["ptr", "u32"], returns: "i32" },
  futimens: { args: ["i32", "ptr"], returns: "i32" },
  sync_file_range: { args: ["i32", FFIType.i64_fast, FFIType.i64_fast, "u32"], returns: "i32" },
} as const satisfies Record<string, FFIFunction>;

function load(): ReturnType<typeof dlopen<typeof MORE>>["symbols"] {
  return dlopen("libc.so.6", MORE).symbols;
}
let loaded: ReturnType<typeof load> | undefined;

const arm = process.arch === "arm64";
/** Flags of open(2); two of them differ between amd64 and arm64. */
export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  NOCTTY: 0o400,
  TRUNC: 0o1000,
  NONBLOCK: 0o4000,
  DIRECTORY: arm ? 0o40000 : 0o200000,
  NOFOLLOW: arm ? 0o100000 : 0o400000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
} as const;

/** File types as stat(2) has them in the mode. */
export const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFDIR = 0o040000;
export const S_IFLNK = 0o120000;
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;
export const S_IFIFO = 0o010000;
export const S_IFSOCK = 0o140000;

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;

/** RESOLVE_NO_MAGICLINKS and RESOLVE_IN_ROOT of openat2(2). */
const RESOLVE_IN_ROOT = 0x10 | 0x02;
const SYS_OPENAT2 = 437;

const first = Buffer.alloc(8192);
const second = Buffer.alloc(8192);
const firstPtr = ptr(first);
const secondPtr = ptr(second);

/** Puts a name with its NUL into a buffer that lives as long as the thread. */
function put(buffer: Buffer, address: Pointer, name: ByteName): Pointer {
  if (name.length >= buffer.length) throw systemError("path", ERRNO.ENAMETOOLONG, name.slice(0, 64));
  buffer[buffer.write(name, 0, "latin1")] = 0;
  return address;
}

function at(result: number | bigint): number {
  return result < 0 ? -errno() : Number(result);
}

/** Passes a result on; throws a `SystemError` for a negative one. */
export function must(result: number, syscall: string, name?: ByteName): number {
  if (result < 0) throw systemError(syscall, -result, name === undefined ? undefined : Buffer.from(name, "latin1").toString("utf8"));
  return result;
}

/** openat(2), with O_CLOEXEC. */
export function openAt(dir: number, name: ByteName, flags: number, mode = 0): number {
  return at(libc().openat(dir, put(first, firstPtr, name), flags | O.CLOEXEC, mode));
}

// Small typed arrays move when their `buffer` is asked for: those whose address is kept stand on an ArrayBuffer from the start.
const how = new BigUint64Array(new ArrayBuffer(24));
const howPtr = ptr(how);

/**
 * openat2(2) with RESOLVE_IN_ROOT: `dir` is the root for absolute links and `..`, and magic links are refused.
 * Mount points below are crossed. EAGAIN (a rename raced with the look-up) is tried again.
 */
export function openInRoot(dir: number, name: ByteName, flags: number, mode = 0): number {
  how[0] = BigInt(flags | O.CLOEXEC);
  how[1] = BigInt(mode);
  how[2] = BigInt(RESOLVE_IN_ROOT);
  for (let tries = 0; ; tries++) {
    const result = at(libc().syscall(SYS_OPENAT2, dir, put(first, firstPtr, name === "" ? "." : name), howPtr, 24, 0, 0));
    if (result !== -ERRNO.EAGAIN || tries === 100) return result;
  }
}

/** close(2), errors ignored. */
export function close(fd: number): void {
  libc().close(fd);
}

/** Writes all bytes at an offset. */
export function writeAt(fd: number, bytes: Uint8Array, offset: number): number {
  if (bytes.length === 0) return 0;
  const address = ptr(bytes);
  let done = 0;
  while (done < bytes.length) {
    const wrote = at(libc().pwrite(fd, (address + done) as Pointer, bytes.length - done, offset + done));
    if (wrote === -ERRNO.EINTR) continue;
    if (wrote < 0) return wrote;
    done += wrote;
  }
  return done;
}

/** Reads up to the length of `into` at an offset; 0 at the end. */
export function readAt(fd: number, into: Uint8Array, offset: number): number {
  for (;;) {
    const got = at(libc().pread(fd, into, into.length, offset));
    if (got !== -ERRNO.EINTR) return got;
  }
}

/** ftruncate(2). */
export function truncateTo(fd: number, size: number): number {
  return at(libc().ftruncate(fd, size));
}

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** The next run of data of a file at or after an offset; undefined behind the last one. File systems without holes answer the whole rest. */
export function nextData(fd: number, offset: number, size: number): { offset: number; size: number } | undefined {
  if (offset >= size) return undefined;
  const data = at(libc().lseek(fd, offset, SEEK_DATA));
  if (data === -ERRNO.ENXIO) return undefined;
  if (data < 0) return { offset, size: size - offset };
  const hole = at(libc().lseek(fd, data, SEEK_HOLE));
  const end = hole < 0 ? size : Math.min(hole, size);
  return data >= size ? undefined : { offset: data, size: end - data };
}

/** copy_file_range(2) between two offsets; falls short where the kernel does. -EXDEV, -EOPNOTSUPP and -EINVAL mean: copy by hand. */
export function copyRange(from: number, fromOffset: number, to: number, toOffset: number, size: number): number {
  offsets[0] = BigInt(fromOffset);
  offsets[1] = BigInt(toOffset);
  return at(libc().copy_file_range(from, offsetsPtr, to, (offsetsPtr + 8) as Pointer, size, 0));
}
const offsets = new BigInt64Array(new ArrayBuffer(16));
const offsetsPtr = ptr(offsets);

/** mkdirat(2); the umask applies. */
export function mkdirAt(dir: number, name: ByteName, mode: number): number {
  return at(libc().mkdirat(dir, put(first, firstPtr, name), mode));
}

/** mknodat(2); `type` is one of the S_IF constants. */
export function mknodAt(dir: number, name: ByteName, type: number, mode: number, major: number, minor: number): number {
  // dev_t of glibc: 8 bits of the minor, 12 of the major, then the rest of the minor, then of the major.
  const low = ((major & 0xfff) << 8) | (minor & 0xff);
  const device = BigInt(low) | (BigInt((minor & 0xffffff00) >>> 0) << 12n) | (BigInt((major & 0xfffff000) >>> 0) << 32n);
  return at(libc().mknodat(dir, put(first, firstPtr, name), type | mode, Number(device)));
}

/** symlinkat(2). */
export function symlinkAt(target: ByteName, dir: number, name: ByteName): number {
  return at(libc().symlinkat(put(first, firstPtr, target), dir, put(second, secondPtr, name)));
}

/** linkat(2): a link at the end of `name` is itself linked, never followed. */
export function linkAt(dir: number, name: ByteName, toDir: number, toName: ByteName): number {
  return at(libc().linkat(dir, put(first, firstPtr, name), toDir, put(second, secondPtr, toName), 0));
}

/** unlinkat(2): files and links, -EISDIR for a directory. */
export function unlinkAt(dir: number, name: ByteName): number {
  return at(libc().unlinkat(dir, put(first, firstPtr, name), 0));
}

/** Removes an empty directory. */
export function rmdirAt(dir: number, name: ByteName): number {
  return at(libc().unlinkat(dir, put(first, firstPtr, name), AT_REMOVEDIR));
}

/** renameat2(2), replacing what stands there. */
export function renameAt(dir: number, name: ByteName, toDir: number, toName: ByteName): number {
  return at(libc().renameat2(dir, put(first, firstPtr, name), toDir, put(second, secondPtr, toName), 0));
}

/** The target of a symbolic link, or a negative error number. */
export function readLinkAt(dir: number, name: ByteName): ByteName | number {
  const got = at(libc().readlinkat(dir, put(first, firstPtr, name), second, second.length));
  return got < 0 ? got : second.toString("latin1", 0, got);
}

/** Changes the owner of an entry, of a link itself. */
/** fchown(2). */
export function chownAt(dir: number, name: ByteName, uid: number, gid: number): number {
  return at(libc().fchownat(dir, put(first, firstPtr, name), uid, gid, AT_SYMLINK_NOFOLLOW));
}

export function chown(fd: number, uid: number, gid: number): number {
  return at(libc().fchown(fd, uid, gid));
}

/** fchmod(2). */
export function chmodFd(fd: number, mode: number): number {
  return at(libc().fchmod(fd, mode));
}

/** Changes the mode of what an O_PATH descriptor stands for, which fchmod(2) refuses; never of a symbolic link. */
export function chmodPath(fd: number, mode: number): number {
  return at((loaded ??= load()).chmod(put(first, firstPtr, `/proc/self/fd/${fd}`), mode));
}

const times = new BigInt64Array(new ArrayBuffer(32));
const timesPtr = ptr(times);
const NANOS = 1_000_000_000n;

function putTimes(atime: bigint, mtime: bigint): Pointer {
  putTime(0, atime);
  putTime(2, mtime);
  return timesPtr;
}

function putTime(index: number, time: bigint): void {
  const rest = ((time % NANOS) + NANOS) % NANOS;
  times[index] = (time - rest) / NANOS;
  times[index + 1] = rest;
}

/** Sets access and modification time, in nanoseconds; of a link itself. */
export function setTimesAt(dir: number, name: ByteName, atime: bigint, mtime: bigint): number {
  return at(libc().utimensat(dir, put(first, firstPtr, name), putTimes(atime, mtime), AT_SYMLINK_NOFOLLOW));
}

/** Sets the times of an open file (not an O_PATH descriptor). */
export function setTimes(fd: number, atime: bigint, mtime: bigint): number {
  return at((loaded ??= load()).futimens(fd, putTimes(atime, mtime)));
}

/** What statx(2) says; times are nanoseconds since the epoch. */
export interface FileStat {
  type: number;
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  links: number;
  uid: number;
  gid: number;
  inode: bigint;
  /** Device of the file system, as one number. */
  device: number;
  size: number;
  /** Bytes on disk. */
  blocks: number;
  atime: bigint;
  mtime: bigint;
  major: number;
  minor: number;
}

const statBuffer = new Uint8Array(new ArrayBuffer(256));
const statPtr = ptr(statBuffer);
const statView = new DataView(statBuffer.buffer);
const STATX_BASIC = 0x7ff;

function statAs(dir: number, name: ByteName, flags: number): FileStat | number {
  const result = at(libc().statx(dir, put(first, firstPtr, name), flags, STATX_BASIC, statPtr));
  if (result < 0) return result;
  const mode = statView.getUint16(28, true);
  return {
    type: mode & S_IFMT,
    mode: mode & 0o7777,
    links: statView.getUint32(16, true),
    uid: statView.getUint32(20, true),
    gid: statView.getUint32(24, true),
    inode: statView.getBigUint64(32, true),
    device: statView.getUint32(136, true) * 2 ** 20 + statView.getUint32(140, true),
    size: Number(statView.getBigInt64(40, true)),
    blocks: Number(statView.getBigInt64(48, true)) * 512,
    atime: statView.getBigInt64(64, true) * NANOS + BigInt(statView.getUint32(72, true)),
    mtime: statView.getBigInt64(112, true) * NANOS + BigInt(statView.getUint32(120, true)),
    major: statView.getUint32(128, true),
    minor: statView.getUint32(132, true),
  };
}

/** What stands under a name, links not followed; a negative error number otherwise. */
export function statAt(dir: number, name: ByteName): FileStat | number {
  return statAs(dir, name, AT_SYMLINK_NOFOLLOW);
}

/** The state of an open file; a negative error number otherwise. */
export function statFd(fd: number): FileStat | number {
  return statAs(fd, "", AT_EMPTY_PATH);
}

/** Bytes on disk of an open file. */
export function blocksOf(fd: number): number {
  const result = at(libc().statx(fd, put(first, firstPtr, ""), AT_EMPTY_PATH, 0x400, statPtr));
  return result < 0 ? 0 : Number(statView.getBigInt64(48, true)) * 512;
}

const entries = Buffer.alloc(64 << 10);
const entriesPtr = ptr(entries);

/** The names in an open directory (not an O_PATH descriptor) without `.` and `..`, in no order, and their types where the file system tells (else 0). */
export function readDirectory(fd: number): { name: ByteName; type: number }[] {
  const found: { name: ByteName; type: number }[] = [];
  for (;;) {
    const got = must(at((loaded ??= load()).getdents64(fd, entriesPtr, entries.length)), "getdents64");
    if (got === 0) return found;
    for (let position = 0; position < got;) {
      const length = entries.readUInt16LE(position + 16);
      const type = (entries[position + 18] ?? 0) << 12;
      const start = position + 19;
      const name = entries.toString("latin1", start, entries.indexOf(0, start));
      if (name !== "." && name !== "..") found.push({ name, type });
      position += length;
    }
  }
}

const XATTR_MOST = 64 << 10;
let xattrBuffer: Buffer | undefined;

/** The path of an entry that path-only calls (extended attributes) can take; `dir` may be an O_PATH descriptor. */
function through(dir: number, name: ByteName): ByteName {
  if (dir < 0) return name;
  return name === "" ? `/proc/self/fd/${dir}` : `/proc/self/fd/${dir}/${name}`;
}

/** Names of the extended attributes of an entry, of a link itself. */
export function listXattrs(dir: number, name: ByteName): string[] {
  xattrBuffer ??= Buffer.alloc(XATTR_MOST);
  const path = put(first, firstPtr, through(dir, name));
  const got = at(libc().llistxattr(path, xattrBuffer, XATTR_MOST));
  if (got <= 0) return [];
  return xattrBuffer.toString("latin1", 0, got - 1).split("\0");
}

/** One extended attribute of an entry, or undefined. */
export function getXattr(dir: number, name: ByteName, key: string): Uint8Array | undefined {
  xattrBuffer ??= Buffer.alloc(XATTR_MOST);
  const path = put(first, firstPtr, through(dir, name));
  const got = at(libc().lgetxattr(path, put(second, secondPtr, key), xattrBuffer, XATTR_MOST));
  // A copy: `slice` of a Buffer would be a view of what the next call overwrites.
  return got < 0 ? undefined : new Uint8Array(xattrBuffer.subarray(0, got));
}

/** Sets one extended attribute of an entry, of a link itself. */
export function setXattr(dir: number, name: ByteName, key: string, value: Uint8Array): number {
  const path = put(first, firstPtr, through(dir, name));
  return at(libc().lsetxattr(path, put(second, secondPtr, key), value.length === 0 ? null : value, value.length, 0));
}

/** Sets one extended attribute of an open file. */
export function setXattrFd(fd: number, key: string, value: Uint8Array): number {
  return at(libc().fsetxattr(fd, put(first, firstPtr, key), value.length === 0 ? null : value, value.length, 0));
}

/** Writes the whole file system that an open file is on to disk. */
export function syncFileSystem(fd: number): number {
  return at(libc().syncfs(fd));
}

/** SYNC_FILE_RANGE_WRITE of sync_file_range(2). */
const BEGIN_WRITING = 2;

/** Has the disk begin with a part of a file, so that `syncFile` has less to wait for; promises nothing, and returns when it is under way. */
export function beginSync(fd: number, offset: number, size: number): number {
  return at((loaded ??= load()).sync_file_range(fd, offset, size, BEGIN_WRITING));
}

/** Writes one file or directory to disk. */
export function syncFile(fd: number): number {
  return at(libc().fsync(fd));
}
