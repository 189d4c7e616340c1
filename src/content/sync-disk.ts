import { close, must, O, openAt, syncFileSystem } from "../linux/files.ts";
import { byteString } from "../oci/tar-entry.ts";
import { HERE } from "./tree-path.ts";

/** Writes the file system that a directory is on to disk; blocks its thread for as long as that takes. */
export function syncDiskJob({ path }: { path: string }): Promise<void> {
  const name = byteString(path);
  const fd = must(openAt(HERE, name, O.RDONLY | O.DIRECTORY), "open", name);
  try {
    must(syncFileSystem(fd), "syncfs", name);
  } finally {
    close(fd);
  }
  return Promise.resolve();
}
