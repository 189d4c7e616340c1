import { existsSync, mkdirSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, cstr, libc } from "./libc.ts";

/** `TMPFS_MAGIC` and `RAMFS_MAGIC` of linux/magic.h. */
const MEMORY_TYPES = new Set([0x01021994, 0x858458f6]);
const MS_NOSUID = 0x2;
const MS_NODEV = 0x4;
const MS_PRIVATE = 1 << 18;
const MNT_DETACH = 2;
/** Stands in a mount of {@link ensureMemory}, so that a later daemon knows it for ours. */
const MARK = ".mounted-by-lighter";

/**
 * Sees to it that a directory lies in memory, as `/run` does on most hosts: where it is on a disk (containers, small VMs), a tmpfs that
 * propagates nowhere is mounted on it, over whatever is there. The many small files of a container's start and end
 * cost a disk's file system several milliseconds. True when it had to be mounted; the mount stays until {@link leaveMemory}.
 */
export function ensureMemory(directory: string): boolean {
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  if (MEMORY_TYPES.has(statfsSync(directory).type)) return false;
  const path = cstr(directory);
  check(libc().mount(cstr("tmpfs"), path, cstr("tmpfs"), MS_NOSUID | MS_NODEV, cstr("mode=0711")), "mount", directory);
  check(libc().mount(null, path, null, MS_PRIVATE, null), "mount", directory);
  writeFileSync(join(directory, MARK), "");
  return true;
}

/** Takes the mount of {@link ensureMemory} off again, whichever daemon made it. Those that hold files in it keep them until they close them. */
export function leaveMemory(directory: string): void {
  if (!existsSync(join(directory, MARK))) return;
  check(libc().umount2(cstr(directory), MNT_DETACH), "umount2", directory);
}
