import { ptr } from "bun:ffi";
import { readFileSync, readlinkSync, statfsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { closeFd, openFd } from "./fd.ts";
import { O } from "./files.ts";
import { check, libc } from "./libc.ts";

const EXT4_SUPER_MAGIC = 0xef53;
/** ioctl_iflags(2). */
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_TOPDIR_FL = 0x0002_0000;

/**
 * Sees to it that what is made in a directory (directories of containers, that come and go) does not lie close together, where that costs: ext4 without a journal steps over each
 * inode of a group that was deleted in the last minutes, whenever it makes one there. As tops of hierarchies they go into different groups. True where that was of use;
 * elsewhere nothing changes.
 * https://docs.kernel.org/filesystems/ext4/overview.html (inode flags, the Orlov allocator)
 */
export function spreadDirectories(directory: string): boolean {
  if (statfsSync(directory).type !== EXT4_SUPER_MAGIC || hasJournal(statSync(directory).dev)) return false;
  const fd = openFd(directory, O.RDONLY | O.DIRECTORY);
  try {
    const flags = new Uint32Array(2);
    check(libc().ioctl(fd, FS_IOC_GETFLAGS, ptr(flags)), "FS_IOC_GETFLAGS", directory);
    flags[0] = (flags[0] ?? 0) | FS_TOPDIR_FL;
    check(libc().ioctl(fd, FS_IOC_SETFLAGS, ptr(flags)), "FS_IOC_SETFLAGS", directory);
    return true;
  } finally {
    closeFd(fd);
  }
}

/** Whether ext4 on a device writes a journal: it names the mode of it (`data=ordered`) then. Where that cannot be read, it does. */
function hasJournal(device: number): boolean {
  const major = (device >> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  try {
    const name = basename(readlinkSync(`/sys/dev/block/${major}:${minor}`));
    return /^data=/m.test(readFileSync(`/proc/fs/ext4/${name}/options`, "utf8"));
  } catch {
    return true;
  }
}
