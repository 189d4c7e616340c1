import { ERRNO, check, cstr, errno, libc, systemError } from "./libc.ts";
import { openFd, closeFd, O_PATH } from "./fd.ts";
import { ptr } from "bun:ffi";
import type { Overlay } from "./spawn-protocol.ts";

const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
/** `mount(2)` copies one page of options. */
const OPTION_BYTES = 4095;
/** Fixed for all layers that Lighter makes: an upper directory must stay readable to any other overlay. */
const FIXED = ["redirect_dir=off", "metacopy=off", "index=off"];

/**
 * Mounts an overlay at its target in the calling thread's mount namespace, by raw system calls only.
 * More layers than fit a page of options go through `fsconfig`, and through `/proc/self/fd` where that is too old.
 */
export function mountOverlay(overlay: Overlay): void {
  const attempt = (): void => {
    const options = optionsOf(overlay, overlay.lower);
    if (Buffer.byteLength(options) <= OPTION_BYTES) plainMount(overlay.target, options);
    else mountMany(overlay);
  };
  try {
    attempt();
  } catch (error) {
    // An overlay that was mounted `volatile` before leaves a mark that forbids the next mount; the owner has asked for it, so it goes.
    if (!clearVolatileMark(overlay.work)) throw error;
    attempt();
  }
}

/** An overlay that is attached nowhere: a descriptor of its mount. Throws ENOSYS or EINVAL on kernels that cannot. */
export function detachedOverlay(overlay: Overlay): number {
  const fs = check(libc().syscall(SYS_FSOPEN, ptr(cstr("overlay")), 1, 0, 0, 0, 0), "fsopen", "overlay");
  try {
    for (const lower of overlay.lower) configure(fs, "lowerdir+", lower);
    configure(fs, "upperdir", overlay.upper);
    configure(fs, "workdir", overlay.work);
    for (const option of FIXED) configure(fs, ...(option.split("=") as [string, string]));
    if (overlay.volatile) configure(fs, "volatile");
    check(libc().syscall(SYS_FSCONFIG, fs, FSCONFIG_CMD_CREATE, 0, 0, 0, 0), "fsconfig", overlay.target);
    return check(libc().syscall(SYS_FSMOUNT, fs, 1, 0, 0, 0, 0), "fsmount", overlay.target);
  } finally {
    closeFd(fs);
  }
}

function configure(fs: number, key: string, value?: string): void {
  const name = cstr(key);
  const text = value === undefined ? undefined : cstr(value);
  const command = text === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
  check(libc().syscall(SYS_FSCONFIG, fs, command, ptr(name), text === undefined ? 0 : ptr(text), 0, 0), "fsconfig", `${key}=${value}`);
}

function mountMany(overlay: Overlay): void {
  try {
    const mount = detachedOverlay(overlay);
    try {
      moveMount(mount, overlay.target);
    } finally {
      closeFd(mount);
    }
  } catch (error) {
    const fds = overlay.lower.map((path) => openFd(path, O_PATH));
    try {
      const options = optionsOf(
        overlay,
        fds.map((fd) => `/proc/self/fd/${fd}`),
      );
      if (Buffer.byteLength(options) > OPTION_BYTES) throw error;
      plainMount(overlay.target, options);
    } finally {
      closeFd(...fds);
    }
  }
}

const SYS_MOVE_MOUNT = 429;
const MOVE_MOUNT_F_EMPTY_PATH = 0x4;

/** Attaches a detached mount at a directory of the calling thread's namespace. */
export function moveMount(mount: number, target: string): void {
  const [from, to] = [cstr(""), cstr(target)];
  const AT_FDCWD = -100;
  check(libc().syscall(SYS_MOVE_MOUNT, mount, ptr(from), AT_FDCWD, ptr(to), MOVE_MOUNT_F_EMPTY_PATH, 0), "move_mount", target);
}

function plainMount(target: string, options: string): void {
  check(libc().mount(cstr("overlay"), cstr(target), cstr("overlay"), 0, cstr(options)), "mount", target);
}

/** The option text of `mount(2)`; colons, commas and backslashes of paths are escaped as overlayfs reads them. */
function optionsOf(overlay: Overlay, lower: string[]): string {
  const escape = (path: string): string => path.replace(/[\\,:]/g, "\\$&");
  return [
    `lowerdir=${lower.map(escape).join(":")}`,
    `upperdir=${overlay.upper.replace(/[\\,]/g, "\\$&")}`,
    `workdir=${overlay.work.replace(/[\\,]/g, "\\$&")}`,
    ...FIXED,
    ...(overlay.volatile ? ["volatile"] : []),
  ].join(",");
}

/** Removes the mark `work/work/incompat/volatile`; false when there was none. */
function clearVolatileMark(work: string): boolean {
  const AT_FDCWD = -100;
  const AT_REMOVEDIR = 0x200;
  const removed = libc().unlinkat(AT_FDCWD, cstr(`${work}/work/incompat/volatile`), AT_REMOVEDIR) === 0;
  if (!removed && errno() !== ERRNO.ENOENT && errno() !== ERRNO.ENOTDIR)
    throw systemError("rmdir", errno(), `${work}/work/incompat/volatile`);
  if (removed) libc().unlinkat(AT_FDCWD, cstr(`${work}/work/incompat`), AT_REMOVEDIR);
  return removed;
}
