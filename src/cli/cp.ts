import { lstat, readlink, realpath, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { isTerminal } from "./is-terminal.ts";
import { kindOf, LighterError } from "../base/errors.ts";
import { formatBytes } from "../base/units.ts";
import type { Connection } from "../client/connection.ts";
import { getArchive, putArchive, statPath, type PathStat } from "../client/containers.ts";
import { command, type Call } from "./command.ts";
import { bool } from "./flags.ts";
import { write } from "./output.ts";
import { packTar, unpackTar } from "./tar-program.ts";

const flags = {
  archive: bool("Keep owners (uid and gid)", "a"),
  "follow-link": bool("Copy what a link points to, not the link", "L"),
  quiet: bool("Do not show progress", "q"),
};

type CopyCall = Call<typeof flags>;

/** One end of a copy: a path in a container, or on this machine. */
interface End {
  container?: string;
  path: string;
}

/** Bits of Go's file mode that the archive endpoints carry. */
const GO_MODE = { dir: 0x8000_0000, link: 0x0800_0000 } as const;

/** `cp`: copies between a container and this machine. */
export const cp = command({
  usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-",
  args: 2,
  flags,
  async run(call) {
    const [from = "", to = ""] = call.args;
    if (from === "") throw new LighterError("invalid", "source can not be empty");
    if (to === "") throw new LighterError("invalid", "destination can not be empty");
    const [source, target] = [splitEnd(from), splitEnd(to)];
    if (source.container !== undefined && target.container !== undefined)
      throw new LighterError("invalid", "copying between containers is not supported");
    const connection = await call.app.connection();
    if (source.container !== undefined) return fromContainer(call, connection, source, target.path);
    if (target.container !== undefined) return toContainer(call, connection, source.path, target);
    throw new LighterError("invalid", "must specify at least one container source");
  },
});

/** `name:path` is a path in a container unless it begins like a path of this machine. */
function splitEnd(text: string): End {
  if (isAbsolute(text) || text.startsWith(".")) return { path: text };
  const at = text.indexOf(":");
  if (at <= 0) return { path: at === 0 ? "" : text };
  return { container: text.slice(0, at), path: text.slice(at + 1) };
}

async function fromContainer(call: CopyCall, connection: Connection, source: End, target: string): Promise<void> {
  const name = source.container ?? "";
  const path = call.flags["follow-link"] ? await followedInside(connection, name, source.path) : source.path;
  const { stat: info, body } = await getArchive(connection, name, path);
  if (target === "-") {
    if (isTerminal(1)) throw new LighterError("invalid", "refusing to copy to a terminal: redirect the output");
    for await (const bytes of body) await write(1, bytes);
    return;
  }
  const contents = source.path.endsWith("/.") || source.path === ".";
  const directory = (info.mode & GO_MODE.dir) !== 0;
  const there = await stat(target).catch(() => undefined);
  const place = placeOf(resolve(target), there && { directory: there.isDirectory() }, {
    directory,
    contents,
    // A link that is followed lends its own name.
    name: basename(source.path.replace(/\/+$/, "")) || info.name,
    asked: /\/\.?$/.test(target),
  });
  if (!(await stat(place.folder).catch(() => undefined))?.isDirectory())
    throw new LighterError("invalid", `invalid output path: directory ${JSON.stringify(place.folder)} does not exist`);
  await refuseOtherKind(join(place.folder, place.name), directory, resolve(target));
  const size = await unpackTar(body, place.folder, place.name, call.flags.archive);
  report(call, size, resolve(target));
}

/** A folder is not replaced by a file, nor a file by a folder. */
async function refuseOtherKind(path: string, directory: boolean, target: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there === undefined || there.isSymbolicLink() || there.isDirectory() === directory) return;
  const [old, fresh] = directory ? ["non-directory", "directory"] : ["directory", "non-directory"];
  throw new LighterError("invalid", `cannot overwrite ${old} ${JSON.stringify(path)} with ${fresh} ${JSON.stringify(target)}`);
}

async function toContainer(call: CopyCall, connection: Connection, source: string, target: End): Promise<void> {
  if (target.path === "") throw new LighterError("invalid", "no such directory");
  const name = target.container ?? "";
  const path = await resolvedInside(connection, name, target.path);
  const there = await statOrNothing(connection, name, path);
  const isFolder = there !== undefined && (there.mode & GO_MODE.dir) !== 0;
  const options = { copyUidGid: call.flags.archive, noOverwriteDirNonDir: true };
  if (source === "-") {
    if (!isFolder) throw new LighterError("invalid", `destination "${name}:${target.path}" must be a directory`);
    return putArchive(connection, name, path, Bun.stdin.stream(), options);
  }
  const follow = call.flags["follow-link"] || /\/\.?$/.test(source);
  const missing = async (error: unknown): Promise<never> => {
    const link = follow ? await readlink(resolve(source)).catch(() => undefined) : undefined;
    const path = link === undefined ? resolve(source) : resolve(dirname(resolve(source)), link);
    throw new LighterError("not-found", `lstat ${path}: no such file or directory`, { cause: error });
  };
  const real = follow ? await realpath(source).catch(missing) : resolve(source);
  const info = await lstat(real).catch(missing);
  const contents = /(^|\/)\.$/.test(source);
  const place = placeOf(path, there && { directory: isFolder }, {
    directory: info.isDirectory(),
    contents,
    name: basename(resolve(source)),
    asked: /\/\.?$/.test(target.path),
  });
  const packed = packTar(real, place.name);
  try {
    await putArchive(connection, name, place.folder, packed.stream, options);
  } catch (error) {
    packed.stop();
    throw error;
  } finally {
    call.app.err(await packed.complaints);
  }
  report(call, await packed.finished, `${name}:${target.path}`);
}

/** Where a copy goes: the folder it is unpacked in, and the name it gets there (undefined: what is in it is spread there). */
function placeOf(
  path: string,
  there: { directory: boolean } | undefined,
  source: { directory: boolean; contents: boolean; name: string; asked: boolean },
): { folder: string; name: string } {
  if (there?.directory) return { folder: path, name: source.contents ? "." : source.name };
  if (there && source.directory) throw new LighterError("invalid", "cannot copy directory");
  if (source.asked && !source.directory) throw new LighterError("invalid", "no such directory");
  return { folder: dirname(path), name: basename(path) };
}

async function statOrNothing(connection: Connection, name: string, path: string): Promise<PathStat | undefined> {
  // A HEAD has no body: whether it is the container that is missing, the next request says.
  return statPath(connection, name, path).catch((error: unknown) => {
    if (kindOf(error) === "not-found" || kindOf(error) === "invalid") return undefined;
    throw error;
  });
}

/** The path that a link at the end of a path points to. */
async function resolvedInside(connection: Connection, name: string, given: string): Promise<string> {
  // Without the slash at its end, which would hide a link from the look.
  const path = `/${given}`.replace(/^\/+/, "/").replace(/(.)\/+$/, "$1");
  const info = await statOrNothing(connection, name, path);
  if (!info || (info.mode & GO_MODE.link) === 0 || info.linkTarget === "") return path;
  return isAbsolute(info.linkTarget) ? info.linkTarget : join(dirname(path), info.linkTarget);
}

async function followedInside(connection: Connection, name: string, path: string): Promise<string> {
  const info = await statOrNothing(connection, name, path);
  if (!info || (info.mode & GO_MODE.link) === 0 || info.linkTarget === "") return path;
  return isAbsolute(info.linkTarget) ? info.linkTarget : join(dirname(path), info.linkTarget);
}

function report({ flags, app }: CopyCall, size: number, target: string): void {
  if (!flags.quiet && isTerminal(2)) app.err(`Successfully copied ${formatBytes(size, 3)} to ${target}\n`);
}
