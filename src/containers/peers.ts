import { LighterError } from "../base/errors.ts";
import { isAlive } from "../linux/process.ts";
import { type Context, find } from "./context.ts";
import type { ContainerRow } from "./rows.ts";

/**
 * Sees to it that containers whose namespaces were joined still live once that is done: the runtime joins by pid, and a pid that was freed
 * meanwhile may be a process of the host's. To be called while the container's program does not run yet. Throws `conflict`.
 */
export function checkPeers(context: Context, row: ContainerRow): void {
  const { NetworkMode, PidMode, IpcMode } = row.desired.hostConfig;
  for (const mode of [NetworkMode, PidMode, IpcMode]) {
    if (!mode?.startsWith("container:")) continue;
    const peer = find(context, mode.slice("container:".length));
    if (peer.task === undefined || !isAlive(peer.task.init))
      throw new LighterError("conflict", `cannot join namespaces of a non running container: ${peer.id}`);
  }
}
