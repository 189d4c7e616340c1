import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { release } from "node:os";
import { ptr } from "bun:ffi";
import { closeFd } from "./fd.ts";
import { withMapped } from "./mapped-overlay.ts";
import { detachedTree } from "./detached-tree.ts";
import { AT_FDCWD, ERRNO, check, cstr, errno, libc, systemError } from "./libc.ts";
import type { OverlayMount } from "./spawn-native.ts";
import type { Overlay } from "./spawn-protocol.ts";

const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const SYS_MOUNT_SETATTR = 442;
const AT_EMPTY_PATH = 0x1000;
const MOUNT_ATTR_RDONLY = 1n;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
/** `mount(2)` copies one page of options. */
const OPTION_BYTES = 4095;
/** The kernel stacks no more. */
const MOST_LOWER = 500;
/** Fixed for all layers that Lighter makes: an upper directory must stay readable to any other overlay. */
const FIXED = { redirect_dir: "off", metacopy: "off", index: "off" };

/** `lowerdir+` came with kernel 6.5; older ones write a line about it to their log, at each attempt. */
export function takesLayersOneByOne(kernel = release()): boolean {
  const [major = 0, minor = 0] = kernel.split(".").map(Number);
  return major > 6 || (major === 6 && minor >= 5);
}

/** The one directory that a root consists of, where it is no overlay: a writable one, or one to be read. */
function onlyDirectory({ lower, upper, work }: Overlay): string | undefined {
  if (work !== "") return undefined;
  return upper === "" ? (lower.length === 1 ? lower[0] : undefined) : lower.length === 0 ? upper : undefined;
}

/** A mount of a directory that is attached nowhere: a descriptor of it. */
function detachedDirectory(path: string, readOnly: boolean, users?: number): number {
  const tree = detachedTree(path, { users });
  if (!readOnly) return tree;
  const attributes = BigUint64Array.from([MOUNT_ATTR_RDONLY, 0n, 0n, 0n]);
  const empty = cstr("");
  check(libc().syscall(SYS_MOUNT_SETATTR, tree, ptr(empty), AT_EMPTY_PATH, ptr(attributes), 32, 0), "mount_setattr", path);
  return tree;
}

/**
 * How an overlay will be mounted: by the options of `mount(2)`, or from a mount that is attached nowhere yet. The layers in the options may be
 * named relative to a directory.
 */
export type OverlayPlan = OverlayMount;

/**
 * Calls `use` with the way to mount an overlay. Layers that do not fit a page of options go through `fsconfig`; where the kernel is too old for that,
 * through links that are numbers: 500 of them fit. (Descriptors do not reach into another namespace: overlayfs refuses what is mounted elsewhere.)
 */
export function withOverlay<T>(overlay: Overlay, use: (plan: OverlayPlan) => T, oneByOne = takesLayersOneByOne()): T {
  const only = onlyDirectory(overlay);
  if (only !== undefined) return useDetached(overlay.target, detachedDirectory(only, overlay.upper === "", overlay.users?.namespace), use);
  const fitting = (whole: Overlay, lower: string[]): string | undefined => {
    const options = optionsOf(whole, lower);
    return Buffer.byteLength(options) <= OPTION_BYTES ? options : undefined;
  };
  const attempt = (): T => {
    if (overlay.users !== undefined) return withMapped(overlay, overlay.users, fitting, use);
    const options = optionsOf(overlay, overlay.lower);
    return Buffer.byteLength(options) <= OPTION_BYTES ? use({ target: overlay.target, options }) : withMany(overlay, use, oneByOne);
  };
  try {
    return attempt();
  } catch (error) {
    // An overlay that was mounted `volatile` before leaves a mark that forbids the next mount; its owner asked for that, so it goes.
    if (overlay.work === "" || !clearVolatileMark(overlay.work)) throw error;
    return attempt();
  }
}

/** An overlay that is attached nowhere: a descriptor of its mount. Throws EINVAL on kernels before 6.5. */
export function detachedOverlay(overlay: Overlay): number {
  const only = onlyDirectory(overlay);
  if (only !== undefined) return detachedDirectory(only, overlay.upper === "");
  if (!takesLayersOneByOne()) throw systemError("fsconfig", ERRNO.EINVAL, "lowerdir+");
  const type = cstr("overlay");
  const fs = check(libc().syscall(SYS_FSOPEN, ptr(type), FSOPEN_CLOEXEC, 0, 0, 0, 0), "fsopen", "overlay");
  try {
    for (const lower of overlay.lower) configure(fs, "lowerdir+", lower);
    if (overlay.upper !== "") {
      configure(fs, "upperdir", overlay.upper);
      configure(fs, "workdir", overlay.work);
    }
    for (const [key, value] of Object.entries(FIXED)) configure(fs, key, value);
    if (overlay.volatile) configure(fs, "volatile");
    check(libc().syscall(SYS_FSCONFIG, fs, FSCONFIG_CMD_CREATE, 0, 0, 0, 0), "fsconfig", overlay.target);
    return check(libc().syscall(SYS_FSMOUNT, fs, FSMOUNT_CLOEXEC, 0, 0, 0, 0), "fsmount", overlay.target);
  } finally {
    closeFd(fs);
  }
}

/**
 * Calls `detach` for a view of the layers. One layer more than an overlay takes (a container's own above the highest stack) makes the lower half an overlay
 * of its own, at the bottom, where nothing is below that its whiteouts would have to hide.
 */
export function detachView(overlay: Overlay, detach: (overlay: Overlay) => number): number {
  if (overlay.upper !== "" || overlay.lower.length <= MOST_LOWER) return detach(overlay);
  const half = overlay.lower.length >> 1;
  const below = detach({ ...overlay, lower: overlay.lower.slice(half) });
  try {
    return detach({ ...overlay, lower: [...overlay.lower.slice(0, half), `/proc/self/fd/${below}`] });
  } finally {
    closeFd(below);
  }
}

function configure(fs: number, key: string, value?: string): void {
  const name = cstr(key);
  const text = value === undefined ? undefined : cstr(value);
  const command = text === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
  check(libc().syscall(SYS_FSCONFIG, fs, command, ptr(name), text === undefined ? 0 : ptr(text), 0, 0), "fsconfig", `${key}=${value}`);
}

function withMany<T>(overlay: Overlay, use: (plan: OverlayPlan) => T, oneByOne: boolean): T {
  let detached: number;
  try {
    if (!oneByOne) throw systemError("mount", ERRNO.EINVAL, overlay.target);
    detached = detachedOverlay(overlay);
  } catch (error) {
    return withLinks(overlay, use, error);
  }
  return useDetached(overlay.target, detached, use);
}

function useDetached<T>(target: string, detached: number, use: (plan: OverlayPlan) => T): T {
  try {
    return use({ target, detached });
  } finally {
    closeFd(detached);
  }
}

function withLinks<T>(overlay: Overlay, use: (plan: OverlayPlan) => T, reason: unknown): T {
  const from = mkdtempSync(`${overlay.target}.layers-`);
  try {
    overlay.lower.forEach((path, index) => symlinkSync(path, `${from}/${index}`));
    const options = optionsOf(
      overlay,
      overlay.lower.map((_, index) => String(index)),
    );
    if (Buffer.byteLength(options) > OPTION_BYTES) throw reason;
    return use({ target: overlay.target, options, from });
  } finally {
    rmSync(from, { recursive: true, force: true });
  }
}

/** The option text of `mount(2)`; colons, commas and backslashes of paths are escaped as overlayfs reads them. */
function optionsOf(overlay: Overlay, lower: string[]): string {
  const escape = (path: string): string => path.replace(/[\\,:]/g, "\\$&");
  return [
    `lowerdir=${lower.map(escape).join(":")}`,
    ...(overlay.upper === "" ? [] : [`upperdir=${escaped(overlay.upper)}`, `workdir=${escaped(overlay.work)}`]),
    ...Object.entries(FIXED).map(([key, value]) => `${key}=${value}`),
    ...(overlay.volatile ? ["volatile"] : []),
  ].join(",");
}

function escaped(path: string): string {
  return path.replace(/[\\,]/g, "\\$&");
}

/** Removes the mark `work/work/incompat/volatile` with the file in it; false when there was none. */
function clearVolatileMark(work: string): boolean {
  const AT_REMOVEDIR = 0x200;
  const mark = `${work}/work/incompat/volatile`;
  libc().unlinkat(AT_FDCWD, cstr(`${mark}/dirty`), 0);
  if (libc().unlinkat(AT_FDCWD, cstr(mark), AT_REMOVEDIR) === 0) return true;
  if (errno() !== ERRNO.ENOENT && errno() !== ERRNO.ENOTDIR) throw systemError("rmdir", errno(), mark);
  return false;
}
