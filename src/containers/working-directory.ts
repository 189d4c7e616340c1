import { O, close, mkdirAt, openInRoot } from "../linux/files.ts";
import { byteString } from "../oci/tar-entry.ts";

/**
 * Makes a container's working directory in a root that is mounted, as the OCI runtime would at its first start: with all that leads there, for root.
 * Links are followed inside of the root only. What is there already stays; where something else stands in the way the start will tell.
 */
export function makeWorkingDirectory(root: number, path: string): void {
  let parent = openInRoot(root, "/", O.PATH | O.DIRECTORY);
  let at = "";
  for (const name of path.split("/").filter(Boolean)) {
    if (parent < 0) return;
    at += `/${name}`;
    let next = openInRoot(root, byteString(at), O.PATH | O.DIRECTORY);
    if (next < 0 && mkdirAt(parent, byteString(name), 0o755) === 0) next = openInRoot(root, byteString(at), O.PATH | O.DIRECTORY);
    close(parent);
    parent = next;
  }
  if (parent >= 0) close(parent);
}
