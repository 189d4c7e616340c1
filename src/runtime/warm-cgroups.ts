import { open, readFile, writeFile } from "node:fs/promises";
import { logOf } from "../base/log.ts";
import type { CgroupHost } from "./cgroup-host.ts";

/** How long after a move the kernel surely still takes the quick path. */
const WARM_MILLISECONDS = 10;

/**
 * Moving a process between cgroups waits for an RCU grace period (5 to 14 ms were measured) unless another move was a moment ago.
 * The returned function makes such a move in the background, of a thread into the cgroup where it is: the wait then passes while conmon
 * and the OCI runtime start up. On v2 crun clones straight into the cgroup, and nobody waits for the monitor's move.
 */
export function cgroupWarmer(host: CgroupHost, monitors: readonly string[]): () => void {
  const directory = monitors.find((path) => path.startsWith(`${host.mounts.get("freezer") ?? host.mounts.get("pids")}/`));
  if (host.version === 2 || directory === undefined) return () => undefined;
  let last = 0;
  return () => {
    const time = performance.now();
    if (time - last < WARM_MILLISECONDS) return;
    last = time;
    void moveFirst(`${directory}/tasks`);
  };
}

/** Moves a process by writing to a `cgroup.procs`; the kernel's wait passes on another thread. A process that has gone already is fine. */
export async function moveInto(file: string, pid: number): Promise<void> {
  try {
    await writeFile(file, String(pid));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH")
      logOf("runtime").warn("cannot move process {pid} into {file}: {error}", { pid, file, error });
  }
}

async function moveFirst(tasks: string): Promise<void> {
  try {
    const [thread = ""] = (await readFile(tasks, "utf8")).split("\n");
    if (thread === "") return;
    const file = await open(tasks, "r+");
    try {
      await file.write(thread);
    } finally {
      await file.close();
    }
  } catch {
    // The thread has ended meanwhile, or the cgroup was removed at the end: nothing is lost but time.
  }
}
