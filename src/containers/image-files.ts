import { existsSync } from "node:fs";
import { LowerStack, lowerLink } from "../content/lower.ts";
import { O, S_IFDIR, S_IFREG, close, openAt, openInRoot, readAt, statFd } from "../linux/files.ts";
import { byteString } from "../oci/tar-entry.ts";
import type { UserFiles } from "./passwd.ts";

const MOST_LINKS = 40;
const HERE = -100;
/** Larger files are none that name users. */
const MOST_BYTES = 4 << 20;

/**
 * The host path of a file of a stopped root file system: look-ups through the layers as overlayfs would do them, links followed inside the root.
 * @param layers directories, topmost first; a container's upper directory is the first
 * @param path absolute in the container
 * @returns undefined when nothing of the wanted kind stands there
 */
export function lookUp(layers: readonly string[], path: string, kind: "file" | "directory"): string | undefined {
  const stack = new LowerStack(layers);
  const real = follow(stack, path);
  const found = real === undefined ? undefined : stack.entry(real);
  if (found === undefined || found.stat.type !== (kind === "file" ? S_IFREG : S_IFDIR)) return undefined;
  return fromBytes(found.path);
}

/** The directories of the layers that make up one directory of the root, topmost first; none when there is no directory. */
export function mergedDirectories(layers: readonly string[], path: string): string[] {
  const stack = new LowerStack(layers);
  const real = follow(stack, path);
  return real === undefined ? [] : stack.directories(real).map(fromBytes);
}

/** The path without links, relative to the root; undefined when a part of it is missing. */
function follow(stack: LowerStack, path: string): string | undefined {
  let rest = toBytes(path).split("/");
  let at = "";
  let links = 0;
  while (rest.length > 0) {
    const part = rest.shift() ?? "";
    if (part === "" || part === ".") continue;
    if (part === "..") {
      at = at.includes("/") ? at.slice(0, at.lastIndexOf("/")) : "";
      continue;
    }
    const next = at === "" ? part : `${at}/${part}`;
    const entry = stack.entry(next);
    if (entry === undefined) return undefined;
    const target = lowerLink(entry);
    if (target === undefined) {
      at = next;
      continue;
    }
    if (++links > MOST_LINKS) return undefined;
    if (target.startsWith("/")) at = "";
    rest = [...target.split("/"), ...rest];
  }
  return at;
}

function fromBytes(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

function toBytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

const known = new Map<string, UserFiles>();
const MOST_KNOWN = 64;

/**
 * `/etc/passwd` and `/etc/group` as the container will see them. Those of an image are read once: a layer never changes.
 * @param layers the image's directories, topmost first
 * @param upper the container's own directory
 */
export function userFiles(layers: readonly string[], upper: string): UserFiles {
  if (existsSync(`${upper}/etc`)) return readUserFiles([upper, ...layers]);
  const key = layers[0];
  if (key === undefined) return { passwd: "", group: "" };
  let files = known.get(key);
  if (files === undefined) {
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(key, (files = readUserFiles(layers)));
  }
  return files;
}

function readUserFiles(layers: readonly string[]): UserFiles {
  const read = (path: string): string => {
    const found = lookUp(layers, path, "file");
    return found === undefined ? "" : readFound(layers, found);
  };
  return { passwd: read("/etc/passwd"), group: read("/etc/group") };
}

/**
 * The text of a file that {@link lookUp} found. A running container may put a link or a fifo in its place meanwhile: nothing leads out of the layer,
 * and nothing is waited for. Empty for what is no file, or too large.
 */
export function readFound(layers: readonly string[], path: string): string {
  const layer = layers.find((directory) => path.startsWith(`${directory}/`)) ?? "/";
  const root = openAt(HERE, byteString(layer), O.PATH | O.DIRECTORY);
  if (root < 0) return "";
  const fd = openInRoot(root, byteString(path.slice(layer.length + 1)), O.NOFOLLOW | O.NONBLOCK | O.NOCTTY);
  close(root);
  if (fd < 0) return "";
  try {
    const stat = statFd(fd);
    if (typeof stat === "number" || stat.type !== S_IFREG || stat.size > MOST_BYTES) return "";
    const bytes = Buffer.alloc(stat.size);
    let read = 0;
    for (let got = 1; got > 0 && read < bytes.length; read += Math.max(got, 0)) got = readAt(fd, bytes.subarray(read), read);
    return bytes.toString("utf8", 0, read);
  } finally {
    close(fd);
  }
}
