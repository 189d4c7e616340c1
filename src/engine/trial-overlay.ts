import { existsSync, mkdirSync, readdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { isOpaque, isWhiteout } from "../content/lower.ts";
import { closeFd } from "../linux/fd.ts";
import { close, mknodAt, must, O, openAt, S_IFCHR, setXattrFd, statAt } from "../linux/files.ts";
import { byteString } from "../oci/tar-entry.ts";
import { OVERLAY_OPAQUE } from "../oci/whiteout.ts";
import type { Runtime } from "../runtime/runtime.ts";

const HERE = -100;

/**
 * Whether a data root carries overlays, found by mounting one and removing files through it. Undefined when all is well, else why not.
 * Once it could not, it stays with copies: what is in it was unpacked for that.
 */
export async function tryOverlay(dataRoot: string, openRoot: Runtime["openRoot"]): Promise<string | undefined> {
  const mark = join(dataRoot, "content/copies");
  if (existsSync(mark)) return "it could not when it was first used";
  const place = join(dataRoot, "content/unpack/trial-overlay");
  try {
    await attempt(place, openRoot);
    return undefined;
  } catch (error) {
    const why = messageOf(error);
    writeFileSync(mark, `${why}\n`);
    logOf("engine").warn("The data root {dataRoot} carries no overlay, roots are copied: {why}", { dataRoot, why });
    return why;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

async function attempt(place: string, openRoot: Runtime["openRoot"]): Promise<void> {
  const [lower, upper, work] = [`${place}/lower`, `${place}/upper`, `${place}/work`];
  rmSync(place, { recursive: true, force: true });
  for (const path of [`${lower}/kept`, `${lower}/replaced`, upper, work]) mkdirSync(path, { recursive: true });
  for (const path of ["gone", "kept/file", "replaced/file"]) writeFileSync(`${lower}/${path}`, "");
  const fd = await openRoot({ lower: [lower], upper, work, volatile: false });
  try {
    const root = `/proc/self/fd/${fd}`;
    unlinkSync(`${root}/gone`);
    rmSync(`${root}/replaced`, { recursive: true });
    mkdirSync(`${root}/replaced`);
    writeFileSync(`${root}/kept/new`, "");
    if (readdirSync(root).sort().toString() !== "kept,replaced" || readdirSync(`${root}/replaced`).length > 0)
      throw new Error("what was removed in an overlay still shows");
  } finally {
    closeFd(fd);
  }
  marksHold(upper);
}

/** The marks of unpacked layers are made by hand: the file system must take them as overlayfs makes them. */
function marksHold(directory: string): void {
  const fd = must(openAt(HERE, byteString(directory), O.RDONLY | O.DIRECTORY), "open", byteString(directory));
  try {
    must(mknodAt(fd, "mark", S_IFCHR, 0, 0, 0), "mknod", "mark");
    const mark = statAt(fd, "mark");
    if (typeof mark === "number" || !isWhiteout(mark) || mark.type !== S_IFCHR) throw new Error("overlayfs' whiteouts cannot be read back");
    must(setXattrFd(fd, OVERLAY_OPAQUE, Buffer.from("y")), `setxattr ${OVERLAY_OPAQUE}`);
    if (!isOpaque(byteString(directory))) throw new Error("overlayfs' attributes cannot be read back");
  } finally {
    close(fd);
  }
}
