import { mkdirSync, rmdirSync } from "node:fs";
import { check, cstr, ERRNO, libc } from "./libc.ts";

const MS_NOSUID = 0x2;
const MS_NODEV = 0x4;
const MS_NOEXEC = 0x8;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** Mounts an empty /dev/shm of so many bytes (0 for the kernel's default) on a directory, which is made; what was mounted there before goes. `owner` is another than root. */
export function mountShm(directory: string, bytes: number, owner?: { uid: number; gid: number }): void {
  unmountShm(directory);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const whose = owner === undefined ? "" : `,uid=${owner.uid},gid=${owner.gid}`;
  const options = cstr(`mode=1777${bytes > 0 ? `,size=${bytes}` : ""}${whose}`);
  check(libc().mount(cstr("shm"), cstr(directory), cstr("tmpfs"), MS_NOSUID | MS_NODEV | MS_NOEXEC, options), "mount", directory);
}

/** Takes a mount of {@link mountShm} off, with its directory. Containers that have it mounted keep it. Nothing happens where there is none. */
export function unmountShm(directory: string): void {
  // Several, where a daemon was killed at the wrong moment; EINVAL and ENOENT: none.
  while (libc().umount2(cstr(directory), MNT_DETACH | UMOUNT_NOFOLLOW) === 0) continue;
  try {
    rmdirSync(directory);
  } catch (error) {
    if ((error as { errno?: number }).errno !== -ERRNO.ENOENT) throw error;
  }
}
