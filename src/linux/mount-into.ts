import { cc, dlopen, ptr } from "bun:ffi";
import { asUser } from "./as-user.ts";
import { mapOwners } from "./detached-tree.ts";
import { closeFd, memoryFile, openFd, O_PATH, writeAll } from "./fd.ts";
import { close, type FileStat, mkdirAt, must, O, openAt, openInRoot, S_IFDIR, statFd } from "./files.ts";
import { AT_FDCWD, check, cstr, ERRNO, libc, type SystemError, systemError } from "./libc.ts";
import { detachedOverlay } from "./overlay.ts";
import { isAlive } from "./process.ts";
import type { MountJob, MountSource, UnmountJob } from "./spawn-protocol.ts";

const SYS_OPEN_TREE = 428;
const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const SYS_MOUNT_SETATTR = 442;
const OPEN_TREE_CLONE = 1;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const MOUNT_ATTR = { ro: 1, nosuid: 2, nodev: 4, noexec: 8 } as const;
const PROPAGATION: Readonly<Record<string, bigint>> = { private: 1n << 18n, slave: 1n << 19n, shared: 1n << 20n };
const FSCONFIG = { flag: 0, string: 1, create: 6 } as const;

/**
 * The steps inside of the other namespace as one native call, for the reason that `spawn-native.ts` gives.
 * Fields: namespace, home, detached mount or -1, descriptor of the place (of its parent where something is unmounted), name; last step; functions.
 */
const SOURCE = `
#define unshare ((int (*)(int flags)) a[6])
#define setns ((int (*)(int fd, int type)) a[7])
#define umount2 ((int (*)(const char *target, int flags)) a[8])
#define fchdir ((int (*)(int fd)) a[9])
#define syscall ((long (*)(long number, ...)) a[10])
#define errno (*((int *(*)(void)) a[11])())

int lighter_mount_into(long *a)
{
  int error = 0;
  if (unshare(0x200)) return errno;
  a[5] = 1;
  if (setns(a[0], 0x20000)) return errno;
  if (a[2] >= 0) {
    a[5] = 2;
    if (syscall(429, a[2], "", a[3], "", 0x44)) error = errno;
  } else {
    a[5] = 3;
    if (fchdir(a[3]) || umount2((const char *) a[4], 8)) error = errno;
  }
  if (setns(a[1], 0x20000)) {
    a[5] = 4;
    return errno;
  }
  return error;
}
`;
const STEPS = ["unshare", "setns", "move_mount", "umount", "setns"];
const FUNCTIONS = ["unshare", "setns", "umount2", "fchdir", "syscall", "__errno_location"];

function compile(): { call: (fields: BigInt64Array) => number; addresses: bigint[] } {
  const { dlsym } = dlopen("libc.so.6", { dlsym: { args: ["ptr", "ptr"], returns: "u64" } }).symbols;
  const file = memoryFile("mount-into.c");
  try {
    writeAll(file, Buffer.from(SOURCE));
    const symbols = { lighter_mount_into: { args: ["ptr"], returns: "i32" } } as const;
    const call = cc({ source: `/proc/self/fd/${file}`, flags: "-nostdlib", symbols }).symbols.lighter_mount_into;
    return { call, addresses: FUNCTIONS.map((name) => BigInt(dlsym(null, cstr(name)))) };
  } finally {
    closeFd(file);
  }
}
let compiled: ReturnType<typeof compile> | undefined;

/** Mounts something at a place in the root of another process; what is there already in the same way is left alone. Throws a system error. */
export function mountInto({ process, destination, source, readOnly, propagation, users }: MountJob, home: number): void {
  withRoot(process, (root, namespace) => {
    const tree = detachedFor(source, process.pid, users);
    try {
      restrict(tree, readOnly, propagation);
      const from = statOf(tree, destination);
      const make = (): number => placeFor(root, destination, from.type === S_IFDIR);
      const place = users === undefined ? make() : asUser(users.root, make);
      try {
        const there = statOf(place, destination);
        if (isSame(there, from)) return;
        if ((there.type === S_IFDIR) !== (from.type === S_IFDIR)) throw systemError("move_mount", ERRNO.ENOTDIR, destination);
        run(namespace, home, { tree, place });
      } finally {
        close(place);
      }
    } finally {
      close(tree);
    }
  });
}

/** Unmounts what was mounted of a source, if it is what stands there; false when something else does. Throws EBUSY while it is in use. */
export function unmountFrom({ process, destination, source }: UnmountJob, home: number): boolean {
  return withRoot(process, (root, namespace) => {
    const at = destination.lastIndexOf("/");
    const parent = openInRoot(root, latin(destination.slice(0, at)), O.PATH | O.DIRECTORY);
    if (parent < 0) return false;
    try {
      if (!stands(parent, destination.slice(at + 1), source)) return false;
      run(namespace, home, { place: parent, name: destination.slice(at + 1) });
      return true;
    } finally {
      close(parent);
    }
  });
}

/** Whether an entry of a directory is the root of a source: a mount point cannot be moved away by those who see it. */
function stands(parent: number, name: string, source: string): boolean {
  const place = openAt(parent, latin(name), O.PATH | O.NOFOLLOW);
  const origin = openAt(AT_FDCWD, latin(source), O.PATH);
  try {
    return place >= 0 && origin >= 0 && isSame(statOf(place, name), statOf(origin, source));
  } finally {
    for (const fd of [place, origin]) if (fd >= 0) close(fd);
  }
}

/** Opens root and mount namespace of exactly this process. Throws ESRCH when it is gone. */
function withRoot<T>(name: MountJob["process"], use: (root: number, namespace: number) => T): T {
  const fds: number[] = [];
  try {
    try {
      fds.push(openFd(`/proc/${name.pid}/root`, O_PATH));
      fds.push(openFd(`/proc/${name.pid}/ns/mnt`, 0));
    } catch (error) {
      // A process that is just ending has neither any more, and is no zombie yet.
      if ((error as SystemError).code !== "ENOENT") throw error;
    }
    const [root, namespace] = fds;
    if (root === undefined || namespace === undefined || !isAlive(name)) throw systemError("setns", ERRNO.ESRCH, String(name.pid));
    return use(root, namespace);
  } finally {
    closeFd(...fds);
  }
}

function run(namespace: number, home: number, what: { tree?: number; place: number; name?: string }): void {
  compiled ??= compile();
  const name = cstr(what.name ?? "");
  const fields = new BigInt64Array(6 + FUNCTIONS.length);
  fields.set([namespace, home, what.tree ?? -1, what.place, ptr(name) as number].map(BigInt));
  fields.set(compiled.addresses, 6);
  const failed = compiled.call(fields);
  if (failed !== 0) throw systemError(STEPS[Number(fields[5])] ?? "setns", failed, what.name);
}

/** A mount for a process, with the owners that it has there. */
function detachedFor(source: MountSource, pid: number, users: MountJob["users"]): number {
  if (users === undefined) return detached(source);
  if ("tmpfs" in source) return tmpfs([...source.tmpfs, `uid=${users.root.uid}`, `gid=${users.root.gid}`]);
  const tree = detached("bind" in source && users.mapped ? { ...source, recursive: false } : source);
  if (!users.mapped) return tree;
  const namespace = openFd(`/proc/${pid}/ns/user`, 0);
  try {
    mapOwners(tree, namespace, { recursive: false, what: "bind" in source ? source.bind : "layers" });
    return tree;
  } catch (error) {
    close(tree);
    throw error;
  } finally {
    closeFd(namespace);
  }
}

/** A mount that is attached nowhere yet. */
function detached(source: MountSource): number {
  if ("layers" in source) return detachedOverlay({ target: "", lower: source.layers, upper: "", work: "", volatile: false });
  if ("tmpfs" in source) return tmpfs(source.tmpfs);
  const path = cstr(source.bind);
  const flags = OPEN_TREE_CLONE | O.CLOEXEC | (source.recursive ? AT_RECURSIVE : 0);
  const tree = check(libc().syscall(SYS_OPEN_TREE, AT_FDCWD, ptr(path), flags, 0, 0, 0), "open_tree", source.bind);
  const { identity } = source;
  if (identity === undefined || isSame(statOf(tree, source.bind), identity)) return tree;
  close(tree);
  throw systemError("open_tree", ERRNO.ESTALE, source.bind);
}

function tmpfs(options: readonly string[]): number {
  const type = cstr("tmpfs");
  const fs = check(libc().syscall(SYS_FSOPEN, ptr(type), 1, 0, 0, 0, 0), "fsopen", "tmpfs");
  let attributes = 0;
  try {
    for (const option of options) {
      if (option in MOUNT_ATTR) attributes |= MOUNT_ATTR[option as keyof typeof MOUNT_ATTR];
      else if (!["rw", "suid", "dev", "exec"].includes(option)) configure(fs, option);
    }
    check(libc().syscall(SYS_FSCONFIG, fs, FSCONFIG.create, 0, 0, 0, 0), "fsconfig", "tmpfs");
    return check(libc().syscall(SYS_FSMOUNT, fs, 1, attributes, 0, 0, 0), "fsmount", "tmpfs");
  } finally {
    closeFd(fs);
  }
}

function configure(fs: number, option: string): void {
  const at = option.indexOf("=");
  const name = cstr(at < 0 ? option : option.slice(0, at));
  const value = at < 0 ? undefined : cstr(option.slice(at + 1));
  const command = value === undefined ? FSCONFIG.flag : FSCONFIG.string;
  check(libc().syscall(SYS_FSCONFIG, fs, command, ptr(name), value === undefined ? 0 : ptr(value), 0, 0), "fsconfig", option);
}

/** Sets what of a detached mount is read-only, and how mounts below pass to and fro. */
function restrict(tree: number, readOnly: MountJob["readOnly"], propagation: string): void {
  const kind = PROPAGATION[propagation.replace(/^r/, "")] ?? 1n << 18n;
  setAttributes(tree, [0n, 0n, kind, 0n], propagation === "" || propagation.startsWith("r"));
  if (readOnly !== "no") setAttributes(tree, [BigInt(MOUNT_ATTR.ro), 0n, 0n, 0n], readOnly === "all");
}

function setAttributes(tree: number, attributes: bigint[], recursive: boolean): void {
  const fields = BigUint64Array.from(attributes);
  const empty = cstr("");
  const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  check(libc().syscall(SYS_MOUNT_SETATTR, tree, ptr(empty), flags, ptr(fields), 32, 0), "mount_setattr");
}

/** Opens the place of a mount; what is missing of it is made, as a start would. */
function placeFor(root: number, destination: string, directory: boolean): number {
  const name = latin(destination);
  const found = openInRoot(root, name, O.PATH);
  if (found !== -ERRNO.ENOENT) return must(found, "openat2", name);
  const at = name.lastIndexOf("/");
  const parent =
    at <= 0 ? openInRoot(root, "", O.PATH | O.DIRECTORY) : placeFor(root, destination.slice(0, destination.lastIndexOf("/")), true);
  try {
    must(parent, "openat2", name);
    const last = name.slice(at + 1);
    if (directory) must(mkdirAt(parent, last, 0o755), "mkdir", name);
    else close(must(openAt(parent, last, O.CREAT | O.EXCL | O.WRONLY | O.NOFOLLOW, 0o644), "open", name));
    return must(openAt(parent, last, O.PATH | O.NOFOLLOW), "openat", name);
  } finally {
    if (parent >= 0) close(parent);
  }
}

function statOf(fd: number, name: string): FileStat {
  const stat = statFd(fd);
  if (typeof stat === "number") throw systemError("statx", -stat, name);
  return stat;
}

function isSame(one: Pick<FileStat, "device" | "inode">, other: Pick<FileStat, "device" | "inode">): boolean {
  return one.device === other.device && one.inode === other.inode;
}

/** A name as `files.ts` takes it: one character a byte. */
function latin(text: string): string {
  return Buffer.from(text).toString("latin1");
}
