import { LighterError, kindOf } from "../base/errors.ts";
import { toRfc3339Nano } from "../base/clock.ts";
import { packTree, statInRoot, unpackTree } from "../content/trees.ts";
import type { PathStat } from "./containers.ts";
import { type Context, current, find, isRunning, liveOf, tellAlone } from "./context.ts";
import { goFileMode } from "./file-mode.ts";
import type { UserMap } from "../linux/user-namespace.ts";
import { userFiles } from "./image-files.ts";
import { innerMounts } from "./inner-mounts.ts";
import { resolveUser } from "./passwd.ts";
import { cleanPath } from "./bind-spec.ts";
import { pathsOf } from "./paths.ts";
import { layersOf } from "./prepare.ts";
import { coveringMount, openPlace, openView, type Place } from "./root.ts";
import type { ContainerRow } from "./rows.ts";
import { beginTransfer } from "./transfers.ts";

/** See `Containers.stat`. */
export function statPath(context: Context, reference: string, path: string): Promise<PathStat> {
  return atPlace(context, reference, { path }, (place) => statAt(place, reference, path));
}

/** What the kernel shows in these is no part of a container's files: whoever copies the whole root does not want it. */
const KERNEL_DIRECTORIES: readonly string[] = ["/proc", "/sys", "/dev"];

/** File systems whose files have no size before they are read: a copy of them would be empty, or wrong. Docker does not see them either. */
const SIZELESS: readonly string[] = ["/proc", "/sys"];

/** Whether a path is the place of such a file system of the container's own; what the user mounts there is the user's. */
function isKernels(row: ContainerRow, path: string): boolean {
  const clean = cleanPath(`/${path}`);
  return SIZELESS.includes(clean) && coveringMount(row, clean) === undefined;
}

/** Throws `not-found` for what is in such a file system. */
function refuseKernelFiles(row: ContainerRow, reference: string, path: string): void {
  const clean = cleanPath(`/${path}`);
  if (SIZELESS.some((directory) => clean.startsWith(`${directory}/`)) && coveringMount(row, clean) === undefined)
    throw notFound(new LighterError("not-found", "a file of the kernel"), reference, path);
}

/** See `Containers.archive`: the container stays as it is (a stopped one is not started) until the stream has ended. */
export async function archivePath(
  context: Context,
  reference: string,
  path: string,
  options: { signal?: AbortSignal } = {},
): Promise<{ stat: PathStat; tar: ReadableStream<Uint8Array> }> {
  const answer = Promise.withResolvers<{ stat: PathStat; tar: ReadableStream<Uint8Array> }>();
  const done = atPlace(context, reference, { path, ...options }, async (place, row, signal) => {
    const stat = await statAt(place, reference, path);
    const ended = Promise.withResolvers<void>();
    // A reader that never takes the stream must not hold the container.
    signal.addEventListener("abort", () => ended.resolve());
    if (signal.aborted) ended.resolve();
    const shallow = cleanPath(`/${path}`) === "/" ? KERNEL_DIRECTORIES : isKernels(row, path) ? ["/"] : [];
    const mounts = isRunning(row) ? [] : await innerMounts(context, row, path, signal);
    try {
      const tar = packTree({ root: place.root, path: place.path, name: stat.name, shallow, mounts, ...seenFrom(place) }, { signal });
      tellAlone(context, row, "archive-path");
      answer.resolve({ stat, tar: withEnd(tar, ended.resolve) });
      await ended.promise;
    } finally {
      if (mounts.length > 0) await context.needs.volumes.release(row.id);
    }
  });
  done.catch(answer.reject);
  return answer.promise;
}

/** See `Containers.extract`. */
export function extractArchive(
  context: Context,
  reference: string,
  path: string,
  tar: ReadableStream<Uint8Array>,
  options: { noOverwriteDirNonDir: boolean; copyUidGid: boolean; signal?: AbortSignal },
): Promise<void> {
  const wanted = options.signal === undefined ? { path } : { path, signal: options.signal };
  return atPlace(context, reference, wanted, async (place, row, signal) => {
    if (place.readOnly !== undefined) {
      await statAt(place, reference, path);
      throw new LighterError("forbidden", `${place.readOnly} is marked read-only`);
    }
    const owner = options.copyUidGid ? ownerOf(context, row) : undefined;
    const mounts = isRunning(row) ? [] : await innerMounts(context, row, path, signal);
    const { noOverwriteDirNonDir } = options;
    const { root, path: at } = place;
    try {
      await unpackTree({ root, path: at, noOverwriteDirNonDir, mounts, ...seenFrom(place), ...(owner && { owner }) }, tar, { signal });
    } catch (error) {
      throw notFound(error, reference, path);
    } finally {
      if (mounts.length > 0) await context.needs.volumes.release(row.id);
    }
    tellAlone(context, row, "extract-to-dir");
  });
}

/** Whose numbers a place has; none for the container's own. */
function seenFrom({ users }: Place): { users?: UserMap } {
  return users === undefined ? {} : { users };
}

/** With `copyUIDGID` files become the configured user's, as in Docker; a container without one keeps the archive's owners. */
function ownerOf(context: Context, row: ContainerRow): { uid: number; gid: number } | undefined {
  const user = row.desired.config.User ?? "";
  if (user === "") return undefined;
  const { uid, gid } = resolveUser(user, userFiles(layersOf(context, row), pathsOf(context.needs.options, row.id).upper));
  return { uid, gid };
}

/** See `Containers.export`. */
export async function exportContainer(
  context: Context,
  reference: string,
  options: { signal?: AbortSignal } = {},
): Promise<ReadableStream<Uint8Array>> {
  const row = find(context, reference);
  const view = await openView(context, row);
  const tar = packTree({ root: view.root, path: "/", name: "" }, options);
  tellAlone(context, row, "export");
  return withEnd(tar, () => view.close());
}

/** Opens the place, and holds the lock meanwhile when the container does not run. */
async function atPlace<T>(
  context: Context,
  reference: string,
  wanted: { path: string; signal?: AbortSignal },
  work: (place: Place, row: ContainerRow, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const found = find(context, reference);
  const live = liveOf(context, found.id);
  const use = async (): Promise<T> => {
    const row = current(context, found.id);
    if (live.removing) throw new LighterError("conflict", `removal of container ${reference} is already in progress`);
    if (isRunning(row)) refuseKernelFiles(row, reference, wanted.path);
    const place = await openPlace(context, row, live, wanted.path);
    const { signal, done } = beginTransfer(live, wanted.signal);
    try {
      return await work(place, row, signal);
    } finally {
      done();
      place.close();
    }
  };
  return isRunning(found) ? use() : live.lock.run(use);
}

async function statAt(place: Place, reference: string, path: string): Promise<PathStat> {
  try {
    const stat = await statInRoot({ root: place.root, path: place.path });
    return {
      // The content of a directory, not the directory: an archive of it has names relative to it.
      name: /(?:^|\/)\.\/*$/.test(path) ? "." : (place.name ?? stat.name),
      size: stat.size,
      mode: goFileMode(stat.mode),
      mtime: toRfc3339Nano(stat.mtime),
      linkTarget: stat.linkTarget,
    };
  } catch (error) {
    throw notFound(error, reference, path);
  }
}

/** Docker's text for a path that is not there, with the container as it was named; clients match on it. */
function notFound(error: unknown, reference: string, path: string): unknown {
  if (kindOf(error) !== "not-found") return error;
  return new LighterError("not-found", `Could not find the file ${path} in container ${reference}`, { cause: error });
}

/** Passes a stream on and tells once, when it has ended, failed or was given up. */
function withEnd(stream: ReadableStream<Uint8Array>, ended: () => void): ReadableStream<Uint8Array> {
  const reader = stream.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { value, done } = await reader.read();
          if (value !== undefined) return controller.enqueue(value);
          if (done) {
            controller.close();
            ended();
          }
        } catch (error) {
          ended();
          controller.error(error);
        }
      },
      async cancel(reason) {
        try {
          await reader.cancel(reason);
        } finally {
          ended();
        }
      },
    },
    { highWaterMark: 0 },
  );
}
