import { ptr } from "bun:ffi";
import { chmodSync } from "node:fs";
import { detachedTree } from "./detached-tree.ts";
import { closeFd } from "./fd.ts";
import { mknodAt, S_IFCHR } from "./files.ts";
import { AT_FDCWD, cstr, ERRNO, errno, libc, systemError } from "./libc.ts";

const SYS_MOUNT_SETATTR = 442;
const AT_EMPTY_PATH = 0x1000;
const MOUNT_ATTR_NODEV = 4n;

/**
 * Calls `use` with a mount, attached nowhere, of a null device that nobody else has. It is made in the process's own directory, and goes with that: who asks
 * what the descriptor is shall read `/dev/null`, and not that it was deleted. Without one where devices may not be made (in a user
 * namespace, where the host's is not ours to harm either) or the kernel is too old.
 */
export function withOwnNull<T>(directory: string, use: (mount: number | undefined) => T): T {
  const path = `${directory}/null`;
  const made = mknodAt(AT_FDCWD, path, S_IFCHR, 0o666, 1, 3);
  if (made === -ERRNO.EPERM) return use(undefined);
  if (made < 0 && made !== -ERRNO.EEXIST) throw systemError("mknod", -made, path);
  let mount: number | undefined;
  try {
    chmodSync(path, 0o666);
    mount = detachedTree(path);
    return use(allowDevices(mount) ? mount : undefined);
  } finally {
    if (mount !== undefined) closeFd(mount);
  }
}

/** `/run` is mounted `nodev` on most machines. False before Linux 5.12, which cannot change that. */
function allowDevices(tree: number): boolean {
  const attributes = BigUint64Array.from([0n, MOUNT_ATTR_NODEV, 0n, 0n]);
  const empty = cstr("");
  if (libc().syscall(SYS_MOUNT_SETATTR, tree, ptr(empty), AT_EMPTY_PATH, ptr(attributes), 32, 0) >= 0) return true;
  if (errno() === ERRNO.ENOSYS) return false;
  throw systemError("mount_setattr", errno(), "/dev/null");
}
