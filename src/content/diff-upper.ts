import { close, type FileStat, must, O, openAt, readDirectory, S_IFDIR, statAt } from "../linux/files.ts";
import { type ByteString, byteString, textOf } from "../oci/tar-entry.ts";
import type { JobContext } from "./job.ts";
import { isOpaque, isWhiteout, LowerStack } from "./lower.ts";
import { turns } from "./tree.ts";
import { HERE, joinPath } from "./tree-path.ts";

/** One line of `docker diff`: changed, added or deleted, and the absolute path. */
export interface Change {
  kind: "C" | "A" | "D";
  path: string;
}

/** The same with the bytes of the path. */
export interface ByteChange {
  kind: Change["kind"];
  path: ByteString;
}

/** What to compare with what. */
export interface DiffArgs {
  /** The upper directory of an overlay, absolute. */
  upper: string;
  /** The layers below, topmost first. */
  lower: readonly string[];
  /** Name files that were copied up, too, even where owner, mode, size and time are as they were: their bytes may differ. */
  copied?: boolean;
  /** It is no upper directory but the whole root: what it lacks of the layers was deleted. */
  whole?: boolean;
  /** Absolute paths that were made for mounts: left out with the directories on the way to them, unless there is more in them. */
  mountPoints?: readonly string[];
}

/**
 * What an overlay's upper directory changes in the layers below: directories before what is in them, names sorted.
 * A directory counts as changed for its mode, its owner, and for what is changed in it; a file for its time and size, too.
 */
export async function diffUpperJob(args: DiffArgs, context: JobContext): Promise<Change[]> {
  return (await findChanges(args, context)).map(({ kind, path }) => ({ kind, path: textOf(path) }));
}

/** As {@link diffUpperJob}, for who goes on with the names. */
export async function findChanges(args: DiffArgs, context: JobContext): Promise<ByteChange[]> {
  const lower = new LowerStack(args.lower);
  const turn = turns(context.signal);
  const forMounts = pathsTo(args.mountPoints ?? []);
  const walk = async (dir: number, name: ByteString, path: ByteString, hidden: boolean): Promise<ByteChange[]> => {
    const fd = must(openAt(dir, name, O.DIRECTORY | (dir === HERE ? 0 : O.NOFOLLOW)), "openat", path);
    try {
      const names = readDirectory(fd).map((entry) => entry.name);
      const found = new Map<ByteString, ByteChange[]>();
      for (const child of names) {
        await turn();
        const stat = statAt(fd, child);
        if (typeof stat === "number") continue;
        const at = joinPath(path, child);
        const opaque = stat.type === S_IFDIR && (hidden || isOpaque(`/proc/self/fd/${fd}/${child}`));
        const below = stat.type === S_IFDIR ? await walk(fd, child, at, opaque) : [];
        const mounts = below.length > 0 ? undefined : forMounts.get(at);
        if (mounts === "point" || (mounts === "parent" && lower.entry(at) === undefined)) continue;
        const always = below.length > 0 || (args.copied === true && args.whole !== true && stat.type !== S_IFDIR);
        found.set(child, [...changeOf(lower, at, stat, always), ...below]);
      }
      if (hidden) for (const gone of removedBelow(lower, path, new Set(names))) found.set(gone, [changed("D", joinPath(path, gone))]);
      return [...found.keys()].sort().flatMap((child) => found.get(child) ?? []);
    } finally {
      close(fd);
    }
  };
  return await walk(HERE, byteString(args.upper), "", args.whole === true);
}

/** What each path has to do with mount points. */
function pathsTo(points: readonly string[]): Map<ByteString, "point" | "parent"> {
  const found = new Map<ByteString, "point" | "parent">();
  for (const point of points) {
    const path = byteString(point.slice(1));
    for (let cut = path.indexOf("/"); cut > 0; cut = path.indexOf("/", cut + 1)) found.set(path.slice(0, cut), "parent");
    found.set(path, "point");
  }
  return found;
}

function changed(kind: Change["kind"], path: ByteString): ByteChange {
  return { kind, path: `/${path}` };
}

/** The line of one entry; none for what is as it was, unless it has to have one. */
function changeOf(lower: LowerStack, path: ByteString, stat: FileStat, always: boolean): ByteChange[] {
  const before = lower.entry(path);
  if (isWhiteout(stat)) return before === undefined ? [] : [changed("D", path)];
  if (before === undefined) return [changed("A", path)];
  return always || !isSame(stat, before.stat) ? [changed("C", path)] : [];
}

/** Whether nothing shows that an entry was changed. Directories change their time with every name in them. */
function isSame(now: FileStat, before: FileStat): boolean {
  if (now.type !== before.type || now.mode !== before.mode || now.uid !== before.uid || now.gid !== before.gid) return false;
  if (now.major !== before.major || now.minor !== before.minor) return false;
  return now.type === S_IFDIR || (now.size === before.size && now.mtime === before.mtime);
}

/** The names that an opaque directory hides and does not bring itself. */
function removedBelow(lower: LowerStack, path: ByteString, here: ReadonlySet<ByteString>): ByteString[] {
  const names = new Set<ByteString>();
  for (const directory of lower.directories(path)) {
    const fd = openAt(HERE, directory, O.DIRECTORY | O.NOFOLLOW);
    if (fd < 0) continue;
    for (const { name } of readDirectory(fd)) names.add(name);
    close(fd);
  }
  return [...names].filter((name) => !here.has(name) && lower.entry(joinPath(path, name)) !== undefined);
}
