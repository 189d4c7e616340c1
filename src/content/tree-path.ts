import { LighterError } from "../base/errors.ts";
import { type ByteString, textOf } from "../oci/tar-entry.ts";

/** The current directory of *at calls, for absolute paths. */
export const HERE = -100;

/** As many links as the kernel follows in one look-up. */
export const MOST_LINKS = 40;

/**
 * A path of an archive without empty parts, `.` and leading or trailing slashes; `""` is the root.
 * Throws `invalid` when `..` leads out of the root.
 */
export function cleanPath(path: ByteString): ByteString {
  if (isClean(path)) return path;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined)
      throw new LighterError("invalid", `Cannot unpack "${textOf(path)}": it leads out of the archive's root`);
  }
  return parts.join("/");
}

/** Fast check of the usual form `a/b/c`. */
function isClean(path: ByteString): boolean {
  return (
    path !== "" && !path.startsWith("/") && !path.endsWith("/") && !path.startsWith(".") && !path.includes("//") && !path.includes("/.")
  );
}

/** `a/b` of `a/b/c`; `""` of `a`. */
export function parentOf(path: ByteString): ByteString {
  const cut = path.lastIndexOf("/");
  return cut < 0 ? "" : path.slice(0, cut);
}

/** `c` of `a/b/c`. */
export function baseOf(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** `a/b`, or `b` in the root. */
export function joinPath(directory: ByteString, base: ByteString): ByteString {
  return directory === "" ? base : `${directory}/${base}`;
}
