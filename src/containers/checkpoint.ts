import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { change, type Context, find, tellAlone } from "./context.ts";
import { pathsOf } from "./paths.ts";
import type { ContainerRow } from "./rows.ts";

/** The body of `/containers/{id}/checkpoints`. */
export interface CheckpointRequest {
  id: string;
  /** Where checkpoints of this container are kept; the container's own directory when left out. */
  directory?: string;
  /** End the processes once they are written down. */
  exit: boolean;
}

/** Writes a container's processes down under a name. Throws `conflict` for a name in use, `unsupported` where the runtime cannot. */
export async function createCheckpoint(context: Context, reference: string, request: CheckpointRequest): Promise<void> {
  checkName(request.id);
  const ended = await change(context, reference, async (row, live) => {
    if (row.status !== "running" || live.task === undefined) throw new LighterError("conflict", `container ${reference} is not running`);
    refuseUsers(row);
    if (row.desired.config.Tty) throw new LighterError("unsupported", "checkpoint not supported on containers with tty");
    const place = await newPlace(context, row, request);
    const { task } = live;
    // What is written down ends by our wish: no reason to restart.
    if (request.exit) live.stopRequested = true;
    try {
      await task.checkpoint({ directory: place, work: place, leaveRunning: !request.exit });
    } catch (error) {
      live.stopRequested = false;
      await rm(place, { recursive: true, force: true });
      throw error;
    }
    tellAlone(context, row, "checkpoint");
    // In an object: a bare promise would be awaited under the lock, which the end of the process needs.
    return { handled: request.exit ? live.exitHandled : undefined };
  });
  await ended.handled;
}

/** Throws `unsupported` for a container with users of its own: criu would have to make its namespaces anew. */
export function refuseUsers(row: ContainerRow): void {
  if (row.desired.users === undefined) return;
  throw new LighterError("unsupported", "checkpoint not supported on containers with a user namespace: run it with --userns host");
}

/** Names of a container's checkpoints, sorted. */
export async function listCheckpoints(context: Context, reference: string, directory: string | undefined): Promise<string[]> {
  const row = find(context, reference);
  const entries = await readdir(placeOf(context, row, directory), { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/** Removes a checkpoint. Throws `not-found`. */
export async function removeCheckpoint(context: Context, reference: string, id: string, directory: string | undefined): Promise<void> {
  const row = find(context, reference);
  await rm(await checkpointOf(context, row, reference, { id, directory }), { recursive: true });
}

/** The directory of a checkpoint that is there. Throws `not-found` with Docker's text. */
export async function checkpointOf(
  context: Context,
  row: ContainerRow,
  reference: string,
  { id, directory }: { id: string; directory: string | undefined },
): Promise<string> {
  checkName(id);
  const place = join(placeOf(context, row, directory), id);
  const there = await stat(place).catch(() => undefined);
  if (there === undefined) throw new LighterError("not-found", `checkpoint ${id} does not exist for container ${reference}`);
  if (!there.isDirectory()) throw new LighterError("invalid", `${place} exists and is not a directory`);
  return place;
}

async function newPlace(context: Context, row: ContainerRow, { id, directory }: CheckpointRequest): Promise<string> {
  const parent = placeOf(context, row, directory);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const place = join(parent, id);
  try {
    await mkdir(place, { mode: 0o700 });
  } catch (cause) {
    if ((cause as { code?: string }).code !== "EEXIST") throw cause;
    throw new LighterError("conflict", `checkpoint with name ${id} already exists for container ${row.name}`, { cause });
  }
  return place;
}

function placeOf(context: Context, row: ContainerRow, directory: string | undefined): string {
  if (directory === undefined || directory === "") return join(pathsOf(context.needs.options, row.id).directory, "checkpoints");
  if (!directory.startsWith("/")) throw new LighterError("invalid", `Cannot keep checkpoints in "${directory}": the path must be absolute`);
  return directory;
}

function checkName(id: string): void {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(id))
    throw new LighterError("invalid", `Invalid checkpoint ID (${id}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
}
