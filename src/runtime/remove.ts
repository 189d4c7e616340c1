import { LighterError } from "../base/errors.ts";
import type { SystemError } from "../linux/libc.ts";
import { signalPid } from "../linux/process.ts";
import type { Cgroup } from "./cgroup.ts";
import type { Context } from "./context.ts";

const TRIES = 60;

/** Removes a cgroup with whatever still runs in it, and directory trees. Throws `internal` when processes do not die within about 10 s. */
export async function removeAll(context: Context, cgroup: Cgroup, trees: string[]): Promise<void> {
  let cgroups = cgroup.directories();
  for (let tries = 0; ; tries++) {
    try {
      await context.spawner.remove({ cgroups, trees });
      return;
    } catch (error) {
      if ((error as SystemError).code !== "EBUSY") throw error;
      if (tries === TRIES)
        throw new LighterError("internal", `Cannot remove cgroup "${cgroup.path}": its processes do not end`, { cause: error });
    }
    killAll(cgroup);
    await Bun.sleep(Math.min(tries * 5, 200));
    cgroups = cgroup.removable();
  }
}

/** SIGKILL to everything in a cgroup, frozen or not. */
export function killAll(cgroup: Cgroup): void {
  if (cgroup.killAll()) return;
  for (const pid of cgroup.pids()) signalPid(pid, 9);
  cgroup.thaw();
}
