import {
  close,
  type FileStat,
  must,
  O,
  openAt,
  readAt,
  readDirectory,
  readLinkAt,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  statAt,
} from "../linux/files.ts";
import { type ByteString, byteString } from "../oci/tar-entry.ts";
import type { Change } from "./diff-upper.ts";
import type { JobContext } from "./job.ts";
import { xattrsOf } from "./lower.ts";
import { turns } from "./tree.ts";
import { HERE } from "./tree-path.ts";

/** Two directories, absolute. */
export interface CompareArgs {
  before: string;
  after: string;
  /** Read every file, not only those whose size or time differ. */
  contents: boolean;
}

const BUFFER = 256 << 10;

/**
 * What leads from one tree to another: added, deleted (the topmost of what is gone or new stands for all below) and changed, by name. Times count for
 * nothing of their own: a file whose time alone differs is read.
 */
export async function compareTreesJob(args: CompareArgs, context: JobContext): Promise<Change[]> {
  const open = (path: string): number => must(openAt(HERE, byteString(path), O.DIRECTORY), "open", byteString(path));
  const before = open(args.before);
  try {
    const after = open(args.after);
    try {
      const comparison = new Comparison(args.contents, turns(context.signal));
      if (differs(before, ".", statOf(before, "."), after, ".", statOf(after, "."))) comparison.found.push({ kind: "C", path: "/" });
      await comparison.directories(before, after, "");
      return comparison.found;
    } finally {
      close(after);
    }
  } finally {
    close(before);
  }
}

class Comparison {
  readonly found: Change[] = [];
  readonly #contents: boolean;
  readonly #turn: () => Promise<void>;

  constructor(contents: boolean, turn: () => Promise<void>) {
    this.#contents = contents;
    this.#turn = turn;
  }

  async directories(before: number, after: number, path: ByteString): Promise<void> {
    const names = new Set([before, after].flatMap((fd) => readDirectory(fd).map(({ name }) => name)));
    for (const name of [...names].sort()) {
      await this.#turn();
      await this.#entry(before, after, name, `${path}/${name}`);
    }
  }

  async #entry(before: number, after: number, name: ByteString, path: ByteString): Promise<void> {
    const [was, is] = [statAt(before, name), statAt(after, name)];
    if (typeof was === "number" && typeof is === "number") return;
    if (typeof was === "number") return this.#tell("A", path);
    if (typeof is === "number") return this.#tell("D", path);
    if (was.type !== is.type || differs(before, name, was, after, name, is)) this.#tell("C", path);
    else if (is.type === S_IFREG && (await this.#reads(before, after, name, was, is))) this.#tell("C", path);
    if (was.type === S_IFDIR && is.type === S_IFDIR) await this.#below(before, after, name, path);
  }

  async #below(before: number, after: number, name: ByteString, path: ByteString): Promise<void> {
    const one = openAt(before, name, O.DIRECTORY | O.NOFOLLOW);
    const other = openAt(after, name, O.DIRECTORY | O.NOFOLLOW);
    try {
      if (one >= 0 && other >= 0) await this.directories(one, other, path);
    } finally {
      for (const fd of [one, other]) if (fd >= 0) close(fd);
    }
  }

  /** Whether the bytes of two files of one size differ. */
  async #reads(before: number, after: number, name: ByteString, was: FileStat, is: FileStat): Promise<boolean> {
    if (!this.#contents && was.mtime === is.mtime) return false;
    const one = openAt(before, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
    const other = openAt(after, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
    try {
      if (one < 0 || other < 0) return true;
      const [left, right] = [new Uint8Array(BUFFER), new Uint8Array(BUFFER)];
      for (let at = 0; ;) {
        await this.#turn();
        const [got, too] = [readAt(one, left, at), readAt(other, right, at)];
        if (got !== too || got < 0 || Buffer.compare(left.subarray(0, got), right.subarray(0, got)) !== 0) return true;
        if (got === 0) return false;
        at += got;
      }
    } finally {
      for (const fd of [one, other]) if (fd >= 0) close(fd);
    }
  }

  #tell(kind: Change["kind"], path: ByteString): void {
    this.found.push({ kind, path: Buffer.from(path, "latin1").toString("utf8") });
  }
}

function statOf(dir: number, name: ByteString): FileStat {
  const stat = statAt(dir, name);
  if (typeof stat === "number") must(stat, "statx", name);
  return stat as FileStat;
}

/** Whether what two entries are differs, their content and times aside. */
function differs(before: number, name: ByteString, was: FileStat, after: number, other: ByteString, is: FileStat): boolean {
  if (was.mode !== is.mode || was.uid !== is.uid || was.gid !== is.gid || was.major !== is.major || was.minor !== is.minor) return true;
  if (is.type === S_IFREG && was.size !== is.size) return true;
  if (is.type === S_IFLNK && readLinkAt(before, name) !== readLinkAt(after, other)) return true;
  const [one, two] = [xattrsOf(before, name), xattrsOf(after, other)];
  return one.size !== two.size || [...one].some(([key, value]) => Buffer.compare(value, two.get(key) ?? Buffer.alloc(0)) !== 0);
}
