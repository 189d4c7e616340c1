import { chmodSync, chownSync, existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { copyStack, removeTree } from "../content/trees.ts";
import { logOf } from "../base/log.ts";
import { spreadDirectories } from "../linux/spread-directories.ts";
import type { Context } from "./context.ts";
import { makeInitFiles } from "./init-files.ts";
import { type ContainerPaths, pathsOf } from "./paths.ts";
import { limitStorage, unlimitStorage } from "./storage-size.ts";

/** Makes the directory that all containers' directories are made in. */
export function makeParent({ needs }: Context): void {
  const parent = join(needs.options.dataRoot, "containers");
  mkdirSync(parent, { recursive: true, mode: 0o710 });
  try {
    spreadDirectories(parent);
  } catch (error) {
    logOf("containers").debug("{parent} stays as it is: {error}", { parent, error });
  }
}

/**
 * Makes a container's directories and files (a writable layer whose root looks as the image's, the log's directory, the files that are mounted
 * over /etc/hosts and its like): some twenty small system calls, 0.3 ms; the thread pool takes five times as long. What is there already stays.
 * @param layers the image's layers, topmost first; none for an image without layers
 */
export function makeDirectories(context: Context, id: string, layers: readonly string[]): void {
  const paths = makePlaces(context, id, layers);
  // Last: it stands for all of them.
  makeUpper(paths.upper, layers);
}

/** The same for a container that may write so many bytes and no more: their limit is set before anything is written. */
export async function makeLimited(context: Context, id: string, layers: readonly string[], bytes: number): Promise<void> {
  const paths = makePlaces(context, id, layers);
  const fresh = `${paths.upper}.new`;
  if (existsSync(fresh)) unlimitStorage({ upper: fresh });
  rmSync(fresh, { recursive: true, force: true });
  makeFresh(fresh, layers);
  await limitStorage(fresh, paths, bytes);
  renameSync(fresh, paths.upper);
}

/**
 * The same where roots are copies: the layers are copied in a Worker, and above them what the container wrote while its data root still carried an overlay.
 */
export async function makeCopies(context: Context, id: string, layers: readonly string[]): Promise<void> {
  const paths = makePlaces(context, id, layers);
  const work = `${paths.upper}.new`;
  await removeTree(work);
  const before = `${paths.directory}/upper`;
  if (existsSync(before)) {
    mkdirSync(work);
    await copyStack({ layers: [before, ...layers], target: work });
  } else {
    makeFresh(work, layers);
    await copyStack({ layers, target: work });
  }
  renameSync(work, paths.upper);
  await removeTree(before);
}

function makePlaces(context: Context, id: string, layers: readonly string[]): ContainerPaths {
  const paths = pathsOf(context.needs.options, id);
  mkdirSync(paths.directory, { recursive: true, mode: 0o710 });
  mkdirSync(paths.work, { recursive: true, mode: 0o700 });
  mkdirSync(paths.logDirectory, { recursive: true, mode: 0o700 });
  for (const path of [paths.hosts, paths.hostname, paths.resolvConf]) writeFileSync(path, "", { flag: "a", mode: 0o644 });
  if (layers.length === 0) mkdirSync(paths.empty, { recursive: true, mode: 0o755 });
  return paths;
}

/** Whether {@link makeDirectories} has come to its end. */
export function hasDirectories(context: Context, id: string): boolean {
  return existsSync(pathsOf(context.needs.options, id).upper);
}

function makeUpper(upper: string, layers: readonly string[]): void {
  if (existsSync(upper)) return;
  // Under its name when it is whole, as the name stands for all of it.
  const work = `${upper}.new`;
  rmSync(work, { recursive: true, force: true });
  makeFresh(work, layers);
  renameSync(work, upper);
}

/** A directory that looks as the image's root, with what every container has. */
function makeFresh(work: string, layers: readonly string[]): void {
  const [topLayer] = layers;
  const { mode, uid, gid } = topLayer === undefined ? { mode: 0o755, uid: 0, gid: 0 } : statSync(topLayer);
  mkdirSync(work, { mode: 0o755 });
  makeInitFiles(work, layers);
  if ((mode & 0o7777) !== 0o755) chmodSync(work, mode & 0o7777);
  if (uid !== 0 || gid !== 0) chownSync(work, uid, gid);
}
