import { readFileSync, realpathSync } from "node:fs";
import { LighterError } from "../base/errors.ts";

/**
 * Sees to it that a bind that is to pass mounts on can do so: what is asked for (`rshared`, `slave` ...) must be what the mount below is.
 * Throws `invalid` with Docker's texts. https://docs.kernel.org/filesystems/sharedsubtree.html
 */
export function checkPropagation(source: string, propagation: string, mountinfo = readMounts): void {
  const kind = propagation.replace(/^r/, "");
  if (kind !== "shared" && kind !== "slave") return;
  const { point, shared, slave } = mountOf(source, mountinfo());
  if (kind === "shared" && !shared) throw new LighterError("invalid", `path ${source} is mounted on ${point} but it is not a shared mount`);
  if (kind === "slave" && !shared && !slave)
    throw new LighterError("invalid", `path ${source} is mounted on ${point} but it is not a shared or slave mount`);
}

function readMounts(): string {
  return readFileSync("/proc/self/mountinfo", "utf8");
}

/** The mount that a path lies on: the last one made at the longest place above it. */
function mountOf(path: string, mountinfo: string): { point: string; shared: boolean; slave: boolean } {
  const real = realPath(path);
  let best = { point: "/", shared: false, slave: false };
  for (const line of mountinfo.split("\n")) {
    const [left = ""] = line.split(" - ");
    const [, , , , field, , ...optional] = left.split(" ");
    if (field === undefined) continue;
    const point = field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    const covers = point === "/" || real === point || real.startsWith(`${point}/`);
    if (!covers || point.length < best.point.length) continue;
    best = {
      point,
      shared: optional.some((word) => word.startsWith("shared:")),
      slave: optional.some((word) => word.startsWith("master:")),
    };
  }
  return best;
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
