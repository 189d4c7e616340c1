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

/** What to compare with what. */
export interface DiffArgs {
  /** The upper directory of an overlay, absolute. */
  upper: string;
  /** The layers below, topmost first. */
  lower: readonly string[];
}

/** What an overlay's upper directory changes in the layers below, sorted by path. */
export async function diffUpperJob(args: DiffArgs, context: JobContext): Promise<Change[]> {
  const changes: Change[] = [];
  const lower = new LowerStack(args.lower);
  const turn = turns(context.signal);
  const walk = async (dir: number, name: ByteString, path: ByteString, hidden: boolean): Promise<void> => {
    const fd = must(openAt(dir, name, O.DIRECTORY | (dir === HERE ? 0 : O.NOFOLLOW)), "openat", path);
    try {
      const names = readDirectory(fd);
      if (hidden) changes.push(...removedBelow(lower, path, new Set(names.map((entry) => entry.name))));
      for (const { name: child } of names) {
        await turn();
        const stat = statAt(fd, child);
        if (typeof stat === "number") continue;
        const at = joinPath(path, child);
        changes.push(changeOf(lower, at, stat));
        if (stat.type !== S_IFDIR) continue;
        await walk(fd, child, at, hidden || isOpaque(`/proc/self/fd/${fd}/${child}`));
      }
    } finally {
      close(fd);
    }
  };
  await walk(HERE, byteString(args.upper), "", false);
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function changeOf(lower: LowerStack, path: ByteString, stat: FileStat): Change {
  const kind = isWhiteout(stat) ? "D" : lower.entry(path) === undefined ? "A" : "C";
  return { kind, path: `/${textOf(path)}` };
}

/** What an opaque directory hides and does not bring itself. */
function removedBelow(lower: LowerStack, path: ByteString, here: ReadonlySet<ByteString>): Change[] {
  const names = new Set<ByteString>();
  for (const directory of lower.directories(path)) {
    const fd = openAt(HERE, directory, O.DIRECTORY | O.NOFOLLOW);
    if (fd < 0) continue;
    for (const { name } of readDirectory(fd)) names.add(name);
    close(fd);
  }
  return [...names]
    .filter((name) => !here.has(name) && lower.entry(joinPath(path, name)) !== undefined)
    .map((name) => ({ kind: "D" as const, path: `/${textOf(joinPath(path, name))}` }));
}
