import { existsSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { LighterError } from "../base/errors.ts";
import { mountShm, unmountShm } from "../linux/shm-mount.ts";
import { type Context, find, isRunning } from "./context.ts";
import { pathsOf } from "./paths.ts";
import { type ContainerRow, rowById } from "./rows.ts";
import { rootOf } from "../linux/user-namespace.ts";

/**
 * The host directory behind a /dev/shm that others see, too: the host's, the one of the container whose IPC namespace is joined, or for
 * `shareable` a tmpfs of the asked size that lives as long as the container runs. Undefined for one of its own. Throws Docker's texts.
 */
export function sharedShm(context: Context, row: ContainerRow): string | undefined {
  const { IpcMode: mode = "", ShmSize = 0 } = row.desired.hostConfig;
  if (mode === "host") return "/dev/shm";
  if (mode.startsWith("container:")) return shmOfPeer(context, find(context, mode.slice("container:".length)));
  if (mode !== "shareable") return undefined;
  const { shm } = pathsOf(context.needs.options, row.id);
  mountShm(shm, ShmSize, row.desired.users && rootOf(row.desired.users));
  return shm;
}

function shmOfPeer(context: Context, peer: ContainerRow): string {
  const { shm } = pathsOf(context.needs.options, peer.id);
  if (peer.desired.hostConfig.IpcMode === "shareable" && existsSync(shm)) return shm;
  if (peer.desired.hostConfig.IpcMode === "host") return "/dev/shm";
  throw new LighterError(
    "invalid",
    `can't join IPC of container ${peer.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
  );
}

/** Lets a container's shared /dev/shm go once it does not run any more. */
export function dropSharedShm(context: Context, row: ContainerRow): void {
  if (row.desired.hostConfig.IpcMode === "shareable") unmountShm(pathsOf(context.needs.options, row.id).shm);
}

/** Takes off what a daemon that was killed left mounted: one directory a container, named by its id. */
export function sweepSharedShm(context: Context): void {
  const directory = dirname(pathsOf(context.needs.options, "x").shm);
  if (!existsSync(directory)) return;
  for (const id of readdirSync(directory)) {
    const row = rowById(context.needs.state, id);
    if (row === undefined || !isRunning(row)) unmountShm(pathsOf(context.needs.options, id).shm);
  }
}
