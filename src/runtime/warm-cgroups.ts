import { open } from "node:fs/promises";
import type { CgroupHost } from "./cgroup-host.ts";

/** How long after a move the kernel still takes the quick path, with a margin. */
const WARM_MILLISECONDS = 10;

/**
 * Moving a process between cgroups waits for an RCU grace period (5 to 14 ms were measured) unless another move was a moment ago.
 * The returned function makes such a move, of a thread into the cgroup where it is, in the background: the wait then passes while conmon
 * and the OCI runtime start up. On v2 crun clones straight into the cgroup and only the monitor is moved: nothing to warm before that.
 */
export function cgroupWarmer(host: CgroupHost, monitors: readonly string[]): () => void {
  const directory = monitors.find((path) => path.startsWith(`${host.mounts.get("freezer") ?? host.mounts.get("pids")}/`));
  if (host.version === 2 || directory === undefined) return () => undefined;
  let last = 0;
  return () => {
    const time = performance.now();
    if (time - last < WARM_MILLISECONDS) return;
    last = time;
    void move(`${directory}/tasks`);
  };
}

async function move(path: string): Promise<void> {
  try {
    const file = await open(path, "r+");
    try {
      const [thread = ""] = (await file.readFile("utf8")).split("\n");
      if (thread !== "") await file.write(thread, 0);
    } finally {
      await file.close();
    }
  } catch {
    // The thread has ended meanwhile, or the cgroup was removed at the end: nothing is lost but time.
  }
}
