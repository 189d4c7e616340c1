import { LighterError } from "../base/errors.ts";
import { close, O, openAt } from "../linux/files.ts";
import type { UserMap } from "../linux/user-namespace.ts";
import { type ByteString, byteString, textOf } from "../oci/tar-entry.ts";
import { HERE } from "./tree-path.ts";

/** A file or directory from elsewhere that stands at a place of a tree (an absolute path, as seen from the top), and hides what is there. */
export interface MountedSource {
  path: string;
  source: string;
  readOnly: boolean;
  /** Its files have the host's numbers of these users, whatever the tree's have. */
  users?: UserMap;
}

interface MountedRoot {
  path: ByteString;
  readOnly: boolean;
  /** Of the directory; negative for a file. */
  fd: number;
  users: UserMap | undefined;
}

/** The directories that stand at places of a tree, open: what is written below such a place goes into them. */
export class MountedRoots {
  readonly #roots: MountedRoot[];

  constructor(mounts: readonly MountedSource[]) {
    this.#roots = mounts
      .map(({ path, source, readOnly, users }) => ({
        path: byteString(path.slice(1)),
        readOnly,
        users,
        fd: openAt(HERE, byteString(source), O.PATH | O.DIRECTORY),
      }))
      .sort((a, b) => b.path.length - a.path.length);
  }

  /** Whether a path is such a place itself, which stays as it is. Throws `invalid` where a file is mounted. */
  stands(path: ByteString): boolean {
    const root = this.#roots.find((one) => one.path === path);
    if (root !== undefined && root.fd < 0)
      throw new LighterError(
        "invalid",
        `Cannot unpack "${textOf(path)}": a file of the host is mounted there: copy onto that file instead`,
      );
    return root !== undefined;
  }

  /** The innermost directory that a path of the tree lies in, and the path in it; undefined for the tree's own. Throws `forbidden` for one to be read only. */
  find(path: ByteString): { fd: number; path: ByteString; users: UserMap | undefined } | undefined {
    const root = this.#roots.find((one) => path === one.path || path.startsWith(`${one.path}/`));
    if (root === undefined) return undefined;
    if (root.readOnly) throw new LighterError("forbidden", "mounted volume is marked read-only");
    return { fd: root.fd, path: path.slice(root.path.length + 1), users: root.users };
  }

  close(): void {
    for (const { fd } of this.#roots) if (fd >= 0) close(fd);
  }
}
