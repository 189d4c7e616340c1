import { type FFIFunction, FFIType, type Pointer, dlopen, read } from "bun:ffi";
import { constants } from "node:os";

/** 64-bit arguments that always fit a double: sizes, flags, small offsets. */
const LONG = FFIType.i64_fast;
const ULONG = FFIType.u64_fast;

/**
 * The functions of glibc that Lighter calls, one table for all of `linux/`.
 * Variadic functions are declared with the arguments we pass, which the System V and AAPCS64 calling conventions allow.
 */
const SYMBOLS = {
  __errno_location: { args: [], returns: "ptr" },
  syscall: { args: [LONG, LONG, LONG, LONG, LONG, LONG, LONG], returns: LONG },

  open: { args: ["ptr", "i32", "u32"], returns: "i32" },
  openat: { args: ["i32", "ptr", "i32", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  read: { args: ["i32", "ptr", LONG], returns: LONG },
  write: { args: ["i32", "ptr", LONG], returns: LONG },
  pread: { args: ["i32", "ptr", LONG, LONG], returns: LONG },
  pwrite: { args: ["i32", "ptr", LONG, LONG], returns: LONG },
  lseek: { args: ["i32", LONG, "i32"], returns: LONG },
  fcntl: { args: ["i32", "i32", LONG], returns: "i32" },
  ioctl: { args: ["i32", ULONG, "ptr"], returns: "i32" },
  dup2: { args: ["i32", "i32"], returns: "i32" },
  dup3: { args: ["i32", "i32", "i32"], returns: "i32" },
  pipe2: { args: ["ptr", "i32"], returns: "i32" },
  flock: { args: ["i32", "i32"], returns: "i32" },
  ftruncate: { args: ["i32", LONG], returns: "i32" },
  fallocate: { args: ["i32", "i32", LONG, LONG], returns: "i32" },
  fsync: { args: ["i32"], returns: "i32" },
  fdatasync: { args: ["i32"], returns: "i32" },
  syncfs: { args: ["i32"], returns: "i32" },
  copy_file_range: { args: ["i32", "ptr", "i32", "ptr", LONG, "u32"], returns: LONG },
  memfd_create: { args: ["ptr", "u32"], returns: "i32" },
  eventfd: { args: ["u32", "i32"], returns: "i32" },
  poll: { args: ["ptr", LONG, "i32"], returns: "i32" },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  inotify_init1: { args: ["i32"], returns: "i32" },
  inotify_add_watch: { args: ["i32", "ptr", "u32"], returns: "i32" },
  inotify_rm_watch: { args: ["i32", "i32"], returns: "i32" },

  mkdirat: { args: ["i32", "ptr", "u32"], returns: "i32" },
  mknodat: { args: ["i32", "ptr", "u32", ULONG], returns: "i32" },
  symlinkat: { args: ["ptr", "i32", "ptr"], returns: "i32" },
  linkat: { args: ["i32", "ptr", "i32", "ptr", "i32"], returns: "i32" },
  unlinkat: { args: ["i32", "ptr", "i32"], returns: "i32" },
  readlinkat: { args: ["i32", "ptr", "ptr", LONG], returns: LONG },
  renameat2: { args: ["i32", "ptr", "i32", "ptr", "u32"], returns: "i32" },
  fchmod: { args: ["i32", "u32"], returns: "i32" },
  fchmodat: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  fchown: { args: ["i32", "u32", "u32"], returns: "i32" },
  fchownat: { args: ["i32", "ptr", "u32", "u32", "i32"], returns: "i32" },
  utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  statx: { args: ["i32", "ptr", "i32", "u32", "ptr"], returns: "i32" },
  capget: { args: ["ptr", "ptr"], returns: "i32" },
  capset: { args: ["ptr", "ptr"], returns: "i32" },
  setfsuid: { args: ["u32"], returns: "i32" },
  setfsgid: { args: ["u32"], returns: "i32" },
  umask: { args: ["u32"], returns: "u32" },
  lgetxattr: { args: ["ptr", "ptr", "ptr", LONG], returns: LONG },
  lsetxattr: { args: ["ptr", "ptr", "ptr", LONG, "i32"], returns: "i32" },
  lremovexattr: { args: ["ptr", "ptr"], returns: "i32" },
  llistxattr: { args: ["ptr", "ptr", LONG], returns: LONG },
  fgetxattr: { args: ["i32", "ptr", "ptr", LONG], returns: LONG },
  fsetxattr: { args: ["i32", "ptr", "ptr", LONG, "i32"], returns: "i32" },
  flistxattr: { args: ["i32", "ptr", LONG], returns: LONG },

  mount: { args: ["ptr", "ptr", "ptr", ULONG, "ptr"], returns: "i32" },
  umount2: { args: ["ptr", "i32"], returns: "i32" },
  madvise: { args: [ULONG, ULONG, "i32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  unshare: { args: ["i32"], returns: "i32" },
  fchdir: { args: ["i32"], returns: "i32" },
  chdir: { args: ["ptr"], returns: "i32" },

  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  send: { args: ["i32", "ptr", LONG, "i32"], returns: LONG },
  sendto: { args: ["i32", "ptr", LONG, "i32", "ptr", "u32"], returns: LONG },
  recv: { args: ["i32", "ptr", LONG, "i32"], returns: LONG },
  recvfrom: { args: ["i32", "ptr", LONG, "i32", "ptr", "ptr"], returns: LONG },
  recvmmsg: { args: ["i32", "ptr", "u32", "i32", "ptr"], returns: "i32" },
  sendmmsg: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  shutdown: { args: ["i32", "i32"], returns: "i32" },
  if_nametoindex: { args: ["ptr"], returns: "u32" },

  usleep: { args: ["u32"], returns: "i32" },
  kill: { args: ["i32", "i32"], returns: "i32" },
  waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
  prctl: { args: ["i32", ULONG, ULONG, ULONG, ULONG], returns: "i32" },
  getrlimit: { args: ["i32", "ptr"], returns: "i32" },
  setsid: { args: [], returns: "i32" },
  posix_spawn: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  posix_spawn_file_actions_init: { args: ["ptr"], returns: "i32" },
  posix_spawn_file_actions_destroy: { args: ["ptr"], returns: "i32" },
  posix_spawn_file_actions_adddup2: { args: ["ptr", "i32", "i32"], returns: "i32" },
  posix_spawn_file_actions_addclose: { args: ["ptr", "i32"], returns: "i32" },
  posix_spawn_file_actions_addchdir_np: { args: ["ptr", "ptr"], returns: "i32" },
  posix_spawn_file_actions_addclosefrom_np: { args: ["ptr", "i32"], returns: "i32" },
  posix_spawnattr_init: { args: ["ptr"], returns: "i32" },
  posix_spawnattr_destroy: { args: ["ptr"], returns: "i32" },
  posix_spawnattr_setflags: { args: ["ptr", "i16"], returns: "i32" },
  posix_spawnattr_setsigmask: { args: ["ptr", "ptr"], returns: "i32" },
  posix_spawnattr_setsigdefault: { args: ["ptr", "ptr"], returns: "i32" },
} as const satisfies Record<string, FFIFunction>;

function load(): ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"] {
  return dlopen("libc.so.6", SYMBOLS).symbols;
}
let loaded: ReturnType<typeof load> | undefined;
let errnoAddress: Pointer | null = null;

/** glibc's functions for this thread, loaded on first use. Most callers want the typed wrappers of the other files instead. */
export function libc(): ReturnType<typeof load> {
  return (loaded ??= load());
}

/** The calling thread's `errno`: only meaningful right after a call that failed. */
export function errno(): number {
  errnoAddress ??= libc().__errno_location() as Pointer | null;
  return errnoAddress === null ? 0 : read.i32(errnoAddress, 0);
}

/** Error numbers by name (`ENOENT`), as the kernel numbers them here. */
export const ERRNO: Readonly<Record<keyof typeof constants.errno, number>> = constants.errno;

let names: Map<number, string> | undefined;

/** `ENOENT` for 2; `E<number>` for one without a name. */
export function errnoName(number: number): string {
  names ??= new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));
  return names.get(number) ?? `E${number}`;
}

/** A failed system call in the shape of Node's: `code` is the errno's name, so that `kindOf` and callers can tell. */
export interface SystemError extends Error {
  code: string;
  errno: number;
  syscall: string;
}

/** Makes a {@link SystemError} for an errno; `what` is the path or thing that the call was about. */
export function systemError(syscall: string, number: number, what?: string): SystemError {
  const code = errnoName(number);
  const message = `${code}: ${syscall}${what === undefined ? "" : ` "${what}"`} failed`;
  return Object.assign(new Error(message), { code, errno: -number, syscall });
}

/** Passes a result of 0 or more on; throws a {@link SystemError} with the thread's errno for -1. */
export function check(result: number | bigint, syscall: string, what?: string): number {
  if (result < 0) throw systemError(syscall, errno(), what);
  return Number(result);
}

/** A NUL-terminated copy of a text or of raw bytes, for `ptr` arguments. Throws EINVAL for a NUL inside. */
export function cstr(text: string | Uint8Array): Uint8Array {
  const bytes = typeof text === "string" ? Buffer.from(`${text}\0`) : Buffer.concat([text, Buffer.alloc(1)]);
  if (bytes.indexOf(0) !== bytes.length - 1) throw systemError("path", ERRNO.EINVAL, Buffer.from(bytes.subarray(0, -1)).toString());
  return bytes;
}

/** `AT_FDCWD`: relative paths start at the process's working directory. */
export const AT_FDCWD = -100;
