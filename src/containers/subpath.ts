import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { O, S_IFDIR, close, openAt, openInRoot, statFd } from "../linux/files.ts";
import { byteString } from "../oci/tar-entry.ts";
import type { MountSource } from "./spec-mounts.ts";

const HERE = -100;

/**
 * A part of a volume or image as the source of a mount. Links are followed inside of the directory only: what lies there was written by containers.
 * Throws `invalid` when nothing is there.
 */
export function subpathOf(directory: string, subpath: string): MountSource {
  const root = openAt(HERE, byteString(directory), O.PATH | O.DIRECTORY);
  const fd = root < 0 ? root : openInRoot(root, byteString(subpath), O.PATH);
  if (root >= 0) close(root);
  const stat = fd < 0 ? fd : statFd(fd);
  try {
    if (typeof stat === "number")
      throw new LighterError("invalid", `cannot access path ${join(directory, subpath)}: no such file or directory`);
    const { device, inode } = stat;
    return { path: readlinkSync(`/proc/self/fd/${fd}`), directory: stat.type === S_IFDIR, identity: { device, inode } };
  } finally {
    if (fd >= 0) close(fd);
  }
}

/**
 * Sees to it that parts of volumes stand in a container as they were found: the runtime mounts by name, and another container with the same volume
 * may have put a link there meanwhile. To be called while the container's program does not run yet. Throws `conflict`.
 */
export function checkSubpaths(pid: number, sources: ReadonlyMap<string, MountSource>): void {
  for (const [destination, { path, identity }] of sources) {
    if (identity === undefined) continue;
    const root = openAt(HERE, `/proc/${pid}/root`, O.PATH | O.DIRECTORY);
    const fd = root < 0 ? root : openInRoot(root, byteString(destination), O.PATH);
    const stat = fd < 0 ? fd : statFd(fd);
    for (const open of [root, fd]) if (open >= 0) close(open);
    if (typeof stat === "number" || stat.device !== identity.device || stat.inode !== identity.inode)
      throw new LighterError("conflict", `Cannot mount "${path}": it was replaced while it was being mounted`);
  }
}
