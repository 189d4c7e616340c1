import {
  close,
  type FileStat,
  must,
  nextData,
  O,
  openAt,
  readAt,
  readDirectory,
  readLinkAt,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
  statAt,
  statFd,
} from "../linux/files.ts";
import { type ByteString, byteString, type TarEntry, type TarSpan, type TarType } from "../oci/tar-entry.ts";
import { spanBytes, TAR_END, tarHeader, tarPadding } from "../oci/tar-write.ts";
import { OPAQUE_WHITEOUT, whiteoutName } from "../oci/whiteout.ts";
import { type ByteChange, type DiffArgs, findChanges } from "./diff-upper.ts";
import { findInRoot, openRoot, type PlaceInRoot } from "./in-root.ts";
import type { JobContext } from "./job.ts";
import { isOpaque, isWhiteout, xattrsOf } from "./lower.ts";
import type { MountedSource } from "./mounted-roots.ts";
import { turns } from "./tree.ts";
import { insideOf } from "./user-shift.ts";
import type { UserMap } from "../linux/user-namespace.ts";
import { baseOf, HERE, joinPath, parentOf } from "./tree-path.ts";

/** What to pack, and how. */
export interface PackArgs extends PlaceInRoot {
  /** What the top entry is called in the archive; "" leaves it out and names what is below relative to it. */
  name: string;
  /** Follow a link at the end of the path. */
  follow?: boolean;
  /** The tree is an overlay's upper directory: its marks become whiteouts. */
  layer?: boolean;
  /** Leave holes of files out, as in layers: for readers that know sparse members. */
  holes?: boolean;
  /** Cut times to whole seconds. */
  wholeSeconds?: boolean;
  /** Absolute paths, as seen from the top, that are left out with all below. */
  except?: readonly string[];
  /** The tree is a whole root: only what it changes in these layers is packed, what it lacks of them as whiteouts. */
  whole?: Pick<DiffArgs, "lower" | "mountPoints">;
  /** Absolute paths of directories, as seen from the top, of which nothing but themselves is taken. */
  shallow?: readonly string[];
  /** Files and directories from elsewhere that stand at places of the tree (absolute paths, as seen from the top), and hide what is there. */
  mounts?: readonly Omit<MountedSource, "readOnly">[];
  /** The tree is seen from the host: whom its files belong to inside is what is told. */
  users?: UserMap;
}

/** What takes the archive, piece by piece: a job's line, or a file. */
export interface TarTaker {
  send(piece: Uint8Array, transfer: ArrayBuffer[]): Promise<void>;
}

/**
 * Makes several archives of one tree, to be unpacked one after the other. What directories are like that are in more than one, the top above all, is told in the
 * last: a change there changes that one alone.
 */
export interface TarCuts {
  /** Whether a member that takes so many bytes begins the next archive. Asked once for each, in order. */
  due(path: ByteString, size: number): boolean;
  /** All of the archive before was taken. */
  next(): Promise<void>;
}

const CHUNK = 1 << 20;

/** Collects bytes and hands them on in pieces of one size, so that the same tree always gives the same pieces. */
class TarOutput {
  readonly #taker: TarTaker;
  #buffer = new Uint8Array(CHUNK);
  #used = 0;

  constructor(taker: TarTaker) {
    this.#taker = taker;
  }

  async push(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const take = Math.min(bytes.length - at, CHUNK - this.#used);
      this.#buffer.set(bytes.subarray(at, at + take), this.#used);
      at += take;
      await this.#took(take);
    }
  }

  /** Reads a file right into the piece; one that has shrunk meanwhile is filled up with zeros. */
  async pushFile(fd: number, { offset, size }: TarSpan): Promise<void> {
    const end = offset + size;
    for (let at = offset; at < end;) {
      const space = this.#buffer.subarray(this.#used, this.#used + Math.min(CHUNK - this.#used, end - at));
      const got = must(readAt(fd, space, at), "read");
      if (got === 0) space.fill(0);
      const took = got === 0 ? space.length : got;
      at += took;
      await this.#took(took);
    }
  }

  async flush(): Promise<void> {
    if (this.#used === 0) return;
    const piece = this.#used === CHUNK ? this.#buffer : this.#buffer.slice(0, this.#used);
    this.#buffer = new Uint8Array(CHUNK);
    this.#used = 0;
    await this.#taker.send(piece, [piece.buffer as ArrayBuffer]);
  }

  async #took(count: number): Promise<void> {
    this.#used += count;
    if (this.#used === CHUNK) await this.flush();
  }
}

interface Walk {
  args: PackArgs;
  output: TarOutput;
  /** Where the first name of a hard-linked inode stands in the archive. */
  links: Map<string, ByteString>;
  /** Names in the archive that are left out. */
  except: ReadonlySet<ByteString>;
  shallow: ReadonlySet<ByteString>;
  /** What stands at a name of the archive instead of what is there. */
  mounts: ReadonlyMap<ByteString, Omit<MountedSource, "readOnly">>;
  /** Whose numbers on the host the files have that are packed now; undefined for those inside. */
  users: UserMap | undefined;
  /** Names that are packed, undefined for all, and names that are removed by the directory that they were in. */
  only: ReadonlySet<ByteString> | undefined;
  gone: ReadonlyMap<ByteString, ByteString[]>;
  cuts: TarCuts | undefined;
  /** The headers of the directories around what is packed now, and of those that were cut. */
  above: Uint8Array[];
  apart: Set<Uint8Array>;
  cut: boolean;
  turn: () => Promise<void>;
}

/** Packs a tree; values on the line are pieces of the archive. */
export async function packTreeJob(args: PackArgs, context: JobContext): Promise<void> {
  await packTo(context.port, args, context);
  context.port.end();
}

/** Packs a tree, names sorted by bytes, into one archive or, with `cuts`, several. Sockets are left out. */
export async function packTo(taker: TarTaker, args: PackArgs, context: JobContext, cuts?: TarCuts): Promise<void> {
  const root = openRoot(args.root);
  try {
    const found = findInRoot(root, args.path, args.follow);
    const named = (paths: readonly string[] = []): Set<ByteString> =>
      new Set(paths.map((path) => byteString(args.name === "" ? path.slice(1) : args.name === "/" ? path : `${args.name}${path}`)));
    const walk: Walk = {
      args,
      output: new TarOutput(taker),
      links: new Map(),
      except: named(args.except),
      shallow: named(args.shallow),
      mounts: new Map((args.mounts ?? []).flatMap((mount) => [...named([mount.path])].map((name) => [name, mount] as const))),
      users: args.users,
      ...chosen(args.whole && (await findChanges({ upper: args.root, whole: true, ...args.whole }, context))),
      cuts,
      above: [],
      apart: new Set(),
      cut: false,
      turn: turns(context.signal),
    };
    try {
      const self = `/proc/self/fd/${found.fd}`;
      if (found.stat.type === S_IFDIR) {
        if (args.name !== "") await writeDirectory(walk, found.fd, "", found.stat, byteString(args.name), cuts !== undefined);
        if (args.shallow?.includes("/") !== true) await packChildren(walk, HERE, self, byteString(args.name));
      } else await packLeaf(walk, found.fd, "", found.stat, byteString(args.name));
    } finally {
      close(found.fd);
    }
    if (walk.cut) await cut(walk);
    for (const header of walk.apart) await walk.output.push(header);
    await walk.output.push(TAR_END);
    await walk.output.flush();
  } finally {
    close(root);
  }
}

function chosen(changes: readonly ByteChange[] | undefined): Pick<Walk, "only" | "gone"> {
  const gone = new Map<ByteString, ByteString[]>();
  if (changes === undefined) return { only: undefined, gone };
  const only = new Set<ByteString>();
  for (const { kind, path } of changes) {
    const name = path.slice(1);
    if (kind !== "D") only.add(name);
    else gone.set(parentOf(name), [...(gone.get(parentOf(name)) ?? []), baseOf(name)].sort());
  }
  return { only, gone };
}

async function packChildren(walk: Walk, dir: number, base: ByteString, name: ByteString): Promise<void> {
  // The top is opened through its magic link; below, no link is followed.
  const fd = openAt(dir, base, O.DIRECTORY | (dir === HERE ? 0 : O.NOFOLLOW));
  must(fd, "openat", name);
  try {
    const names = readDirectory(fd).map((entry) => entry.name);
    for (const gone of walk.gone.get(name) ?? [])
      await walk.output.push(tarHeader(markOf(joinPath(name, whiteoutName(gone)), { mtime: 0n })));
    for (const child of withMounts(walk, name, names).sort()) {
      await walk.turn();
      const path = name === "" ? child : name === "/" ? `/${child}` : joinPath(name.replace(/\/$/, ""), child);
      const mount = walk.mounts.get(path);
      if (mount !== undefined) {
        await packMounted(walk, mount, path);
        continue;
      }
      const stat = statAt(fd, child);
      if (typeof stat === "number") continue;
      if (walk.except.has(path) || walk.only?.has(path) === false) continue;
      if (walk.cuts?.due(path, stat.type === S_IFREG ? stat.size : 0) === true) await cut(walk);
      if (stat.type !== S_IFDIR) {
        await packLeaf(walk, fd, child, stat, path);
        continue;
      }
      await writeDirectory(walk, fd, child, stat, path);
      if (!walk.shallow.has(path)) await packChildren(walk, fd, child, path);
      walk.above.pop();
    }
  } finally {
    close(fd);
  }
}

/** The names in a directory, with those of what is mounted in it. */
function withMounts(walk: Walk, directory: ByteString, names: ByteString[]): ByteString[] {
  if (walk.mounts.size === 0) return names;
  const mounted = [...walk.mounts.keys()].filter((path) => {
    const slash = path.lastIndexOf("/");
    return directory === (slash < 0 ? "" : slash === 0 ? "/" : path.slice(0, slash));
  });
  return [...new Set([...names, ...mounted.map(baseOf)])];
}

/** Packs what is mounted at a place; nothing where it has gone. */
async function packMounted(walk: Walk, { source, users }: Omit<MountedSource, "readOnly">, path: ByteString): Promise<void> {
  const fd = openAt(HERE, byteString(source), O.PATH);
  if (fd < 0) return;
  const around = walk.users;
  walk.users = users;
  try {
    const stat = statFd(fd);
    if (typeof stat === "number") return;
    if (stat.type !== S_IFDIR) return await packLeaf(walk, fd, "", stat, path);
    await writeDirectory(walk, fd, "", stat, path);
    if (!walk.shallow.has(path)) await packChildren(walk, HERE, `/proc/self/fd/${fd}`, path);
    walk.above.pop();
  } finally {
    walk.users = around;
    close(fd);
  }
}

async function cut(walk: Walk): Promise<void> {
  for (const header of walk.above) walk.apart.add(header);
  walk.cut = true;
  await walk.output.push(TAR_END);
  await walk.output.flush();
  await walk.cuts?.next();
}

async function writeDirectory(walk: Walk, dir: number, base: ByteString, stat: FileStat, name: ByteString, later = false): Promise<void> {
  const path = name.endsWith("/") ? name : `${name}/`;
  const header = tarHeader(entryOf(walk, "directory", dir, base, stat, path));
  walk.above.push(header);
  if (later) walk.apart.add(header);
  else await walk.output.push(header);
  const opaque = walk.args.layer === true && isOpaque(base === "" ? `/proc/self/fd/${dir}` : `/proc/self/fd/${dir}/${base}`);
  if (opaque) await walk.output.push(tarHeader(markOf(`${path}${OPAQUE_WHITEOUT}`, stat)));
}

async function packLeaf(walk: Walk, dir: number, base: ByteString, stat: FileStat, name: ByteString): Promise<void> {
  if (stat.type === S_IFSOCK) return;
  if (walk.args.layer === true && isWhiteout(stat)) {
    const cut = name.lastIndexOf("/") + 1;
    await walk.output.push(tarHeader(markOf(name.slice(0, cut) + whiteoutName(name.slice(cut)), { ...stat, mtime: 0n })));
    return;
  }
  if (stat.links > 1) {
    const key = `${stat.device}:${stat.inode}`;
    const first = walk.links.get(key);
    if (first !== undefined) {
      await walk.output.push(tarHeader({ ...entryOf(walk, "link", dir, base, stat, name), link: first }));
      return;
    }
    walk.links.set(key, name);
  }
  if (stat.type === S_IFREG) await packFile(walk, dir, base, name);
  else {
    const link = stat.type === S_IFLNK ? readLinkAt(dir, base) : "";
    if (typeof link === "number") return;
    const type: TarType = stat.type === S_IFLNK ? "symlink" : stat.type === S_IFCHR ? "char" : stat.type === S_IFBLK ? "block" : "fifo";
    await walk.output.push(tarHeader({ ...entryOf(walk, type, dir, base, stat, name), link }));
  }
}

async function packFile(walk: Walk, dir: number, base: ByteString, name: ByteString): Promise<void> {
  const [from, path] = base === "" ? [HERE, `/proc/self/fd/${dir}`] : [dir, base];
  const fd = must(openAt(from, path, O.RDONLY | O.NONBLOCK | O.NOCTTY | (base === "" ? 0 : O.NOFOLLOW)), "openat", name);
  try {
    const stat = statFd(fd);
    if (typeof stat === "number" || stat.type !== S_IFREG) return;
    const entry = entryOf(walk, "file", dir, base, stat, name);
    const spans = walk.args.layer === true || walk.args.holes === true ? spansOf(fd, stat) : undefined;
    await walk.output.push(tarHeader(spans === undefined ? entry : { ...entry, spans }));
    for (const span of spans ?? [{ offset: 0, size: stat.size }]) await walk.output.pushFile(fd, span);
    await walk.output.push(tarPadding(spans === undefined ? stat.size : spanBytes(spans)));
  } finally {
    close(fd);
  }
}

/** Holes of fewer bytes together are written as zeros, which any program reads. */
const WORTH = 1 << 20;
/** Files in more pieces than this are written whole. */
const MOST_SPANS = 100_000;

/** What of a file is no hole, where leaving the holes out is worth it. */
function spansOf(fd: number, { size, blocks }: FileStat): TarSpan[] | undefined {
  if (size - blocks < WORTH) return undefined;
  const spans: TarSpan[] = [];
  let stored = 0;
  for (let run = nextData(fd, 0, size); run !== undefined; run = nextData(fd, run.offset + run.size, size)) {
    if (spans.push(run) > MOST_SPANS) return undefined;
    stored += run.size;
  }
  return size - stored < WORTH ? undefined : spans;
}

function entryOf(walk: Walk, type: TarType, dir: number, base: ByteString, stat: FileStat, path: ByteString): TarEntry {
  const xattrs = type === "link" ? new Map<string, Uint8Array>() : xattrsOf(dir, base);
  for (const key of xattrs.keys()) if (HOST_LABELS.test(key)) xattrs.delete(key);
  const { mode, major, minor } = stat;
  const { uid, gid } = walk.users === undefined ? stat : insideOf(walk.users, stat);
  const mtime = walk.args.wholeSeconds === true ? stat.mtime - (((stat.mtime % NANOS) + NANOS) % NANOS) : stat.mtime;
  const size = type === "file" ? stat.size : 0;
  const entry: TarEntry = { type, path, link: "", mode, uid, gid, user: "", group: "", size, mtime, major, minor };
  if (xattrs.size > 0) entry.xattrs = xattrs;
  return entry;
}

const NANOS = 1_000_000_000n;

/** What this machine's security modules say of its files: it means nothing elsewhere. */
const HOST_LABELS = /^security\.(selinux|evm|apparmor|SMACK64)/;

/** The empty file that a whiteout is in an archive. */
function markOf(path: ByteString, stat: Pick<FileStat, "mtime">): TarEntry {
  const mtime = stat.mtime - (((stat.mtime % NANOS) + NANOS) % NANOS);
  return { type: "file", path, link: "", mode: 0, uid: 0, gid: 0, user: "", group: "", size: 0, mtime, major: 0, minor: 0 };
}
