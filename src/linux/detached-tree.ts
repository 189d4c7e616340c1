import { ptr } from "bun:ffi";
import { closeFd } from "./fd.ts";
import { AT_FDCWD, check, cstr, libc } from "./libc.ts";

const SYS_OPEN_TREE = 428;
const SYS_MOUNT_SETATTR = 442;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const MOUNT_ATTR_IDMAP = 0x100000n;

/**
 * A mount of a file or directory that is attached nowhere: a descriptor of it. With `users`, a user namespace, what belongs to a number on the disk shows as the number's there.
 * Throws EINVAL where the file system, or the kernel (before 5.12, 5.19 for what lies under an overlay), cannot do that.
 * https://docs.kernel.org/filesystems/idmappings.html
 */
export function detachedTree(path: string, { recursive = false, users }: { recursive?: boolean; users?: number | undefined } = {}): number {
  const name = cstr(path);
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  const tree = check(libc().syscall(SYS_OPEN_TREE, AT_FDCWD, ptr(name), flags, 0, 0, 0), "open_tree", path);
  if (users === undefined) return tree;
  try {
    mapOwners(tree, users, { recursive, what: path });
    return tree;
  } catch (error) {
    closeFd(tree);
    throw error;
  }
}

/** Gives a mount that was attached nowhere yet the owners of a user namespace. Throws EINVAL as {@link detachedTree}. */
export function mapOwners(tree: number, users: number, { recursive, what }: { recursive: boolean; what: string }): void {
  const attributes = BigUint64Array.from([MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(users)]);
  const empty = cstr("");
  const how = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  check(libc().syscall(SYS_MOUNT_SETATTR, tree, ptr(empty), how, ptr(attributes), 32, 0), "mount_setattr", what);
}
