/** Trees of files, for the layers above: packing, unpacking, copying and comparing, all in the Workers of the pool. */
import type { CompareArgs } from "./compare-trees.ts";
import type { CopyStackArgs } from "./copy-stack.ts";
import type { CopyArgs } from "./copy-tree.ts";
import type { Change, DiffArgs } from "./diff-upper.ts";
import type { PathStat, PlaceInRoot } from "./in-root.ts";
import { canLimitTrees, type LimitArgs, type TreeLimit, unlimitTree } from "./limit-tree.ts";
import type { PackedPart, PackPartsArgs } from "./pack-parts.ts";
import type { PackArgs } from "./pack-tree.ts";
import { type Job, runJob, startJob } from "./pool.ts";
import type { TreeSize } from "./tree.ts";
import type { UnpackTreeArgs } from "./unpack-tree.ts";

export { canLimitTrees, unlimitTree };
export type {
  Change,
  CompareArgs,
  CopyArgs,
  CopyStackArgs,
  DiffArgs,
  PackArgs,
  PackedPart,
  PackPartsArgs,
  PathStat,
  PlaceInRoot,
  TreeLimit,
  TreeSize,
  UnpackTreeArgs,
};

interface Cancellable {
  signal?: AbortSignal;
}

/**
 * A tar archive of what is at a path inside of a root, as it is read: a reader that stops stops the packing.
 * Errors come out of the stream: `not-found` when nothing is there.
 */
export function packTree(args: PackArgs, options: Cancellable = {}): ReadableStream<Uint8Array> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const job = startJob("packTree", args, { signal });
  let failure: Promise<unknown> = Promise.resolve();
  failure = job.result.then(
    () => undefined,
    (error: unknown) => error,
  );
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = await job.port.receive().catch(() => undefined);
        if (piece !== undefined) return controller.enqueue(piece as Uint8Array);
        const error = await failure;
        if (error === undefined) controller.close();
        else controller.error(error);
      },
      async cancel() {
        stop.abort();
        await failure;
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * Packs what is at a path as several archives, each a file of its own that is the reader's to remove; the next few are made meanwhile. Who stops reading
 * stops the packing.
 */
export async function* packParts(args: PackPartsArgs, options: Cancellable = {}): AsyncGenerator<PackedPart> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const job = startJob("packParts", args, { signal });
  const ended = job.result.then(
    () => undefined,
    () => undefined,
  );
  try {
    for (;;) {
      const part = await job.port.receive().catch(() => undefined);
      if (part === undefined) break;
      yield part as PackedPart;
    }
    await job.result;
  } finally {
    stop.abort();
    await ended;
  }
}

/**
 * Unpacks a tar archive (plain, gzip or zstd) into a directory inside of a root that may be in use.
 * Throws `not-found` without the directory, `invalid` for a bad archive, `no-space`; what was unpacked before stays.
 */
export async function unpackTree(args: UnpackTreeArgs, stream: AsyncIterable<Uint8Array>, options: Cancellable = {}): Promise<void> {
  const job = startJob("unpackTree", args, options);
  const ended = job.result.then(
    () => undefined,
    () => undefined,
  );
  const broken = await Promise.race([ended, feed(job, stream).then((error) => error ?? ended)]);
  if (broken !== undefined) {
    job.port.abort();
    await ended;
    throw broken;
  }
  await job.result;
}

/** Sends a stream to a job; resolves with the error when the stream itself breaks. A job that has ended takes no more: its result says why. */
async function feed(job: Job<unknown>, stream: AsyncIterable<Uint8Array>): Promise<unknown> {
  try {
    for await (const piece of stream) {
      const taken = await job.port.send(piece).then(
        () => true,
        () => false,
      );
      if (!taken) return undefined;
    }
    job.port.end();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Copies the content of a directory inside of a root into another directory, owners, attributes, hard links and holes included. False when there is none. */
export async function copyTree(args: CopyArgs, options: Cancellable = {}): Promise<boolean> {
  return await runJob("copyTree", args, options);
}

/** Makes one plain directory of a stack of layers, where no overlay can be mounted. */
export async function copyStack(args: CopyStackArgs, options: Cancellable = {}): Promise<void> {
  await runJob("copyStack", args, options);
}

/** What leads from one tree to another, by name. Throws system errors where one is missing. */
export async function compareTrees(args: CompareArgs, options: Cancellable = {}): Promise<Change[]> {
  return await runJob("compareTrees", args, options);
}

/** What an overlay's upper directory changes in the layers below. */
export async function diffUpper(args: DiffArgs, options: Cancellable = {}): Promise<Change[]> {
  return await runJob("diffUpper", args, options);
}

/** What a tree holds on disk. Nothing there is zero. */
export async function treeSize(path: string, options: Cancellable = {}): Promise<TreeSize> {
  return await runJob("treeSize", { path }, options);
}

/** Limits what directories hold together; what is in them already counts. Throws `unsupported` where the file system cannot. */
export async function limitTree(args: LimitArgs, options: Cancellable = {}): Promise<void> {
  await runJob("limitTree", args, options);
}

/** The limit of a directory, and how much of it is used; undefined for one without. */
export async function limitOfTree(path: string, options: Cancellable = {}): Promise<TreeLimit | undefined> {
  return await runJob("limitOfTree", { path }, options);
}

/** Looks up a path inside of a root without following a link at its end. Throws `not-found`. */
export async function statInRoot(args: PlaceInRoot, options: Cancellable = {}): Promise<PathStat> {
  return await runJob("statPath", args, options);
}

/** Resolves once a tree is on disk, and whatever else was written to its file system. */
export async function syncTree(path: string): Promise<void> {
  await runJob("syncDisk", { path }, { apart: "disk" });
}

/** Removes a tree. Nothing there is fine. */
export async function removeTree(path: string, options: Cancellable = {}): Promise<void> {
  await runJob("removeTree", { path }, options);
}
