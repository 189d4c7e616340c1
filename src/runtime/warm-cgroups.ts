import { closeSync, existsSync, openSync, readFileSync, write } from "node:fs";
import { writeFile } from "node:fs/promises";
import { logOf } from "../base/log.ts";
import type { CgroupHost } from "./cgroup-host.ts";

/** How long after a move the kernel surely still takes the quick path; the next one follows then while somebody needs it. */
const WARM_MILLISECONDS = 5;
/** How long a hint holds that nobody takes up: a container is made within it, mostly. */
const HINT_MILLISECONDS = 20;

/** Keeps the kernel's moves between cgroups quick: from a hint on for a moment, and for as long as something is held. */
export interface CgroupWarmer {
  hint(): void;
  /** Returns what lets go; calling it again does nothing. */
  hold(): () => void;
  close(): void;
}

const NOTHING: CgroupWarmer = { hint: () => undefined, hold: () => () => undefined, close: () => undefined };

/**
 * Moving a process between cgroups waits for an RCU grace period (5 to 17 ms were measured) unless another move was a moment ago.
 * Such moves are made in the background, of a thread of ours into the cgroup where it is: the wait then passes while conmon
 * and the OCI runtime start up. On v2 crun clones straight into the cgroup, and nobody waits for the monitor's move.
 */
export function cgroupWarmer(host: CgroupHost, monitors: readonly string[]): CgroupWarmer {
  const directory = monitors.find((path) => path.startsWith(`${host.mounts.get("freezer") ?? host.mounts.get("pids")}/`));
  if (host.version === 2 || directory === undefined) return NOTHING;
  const move = mover(`${directory}/tasks`);
  let held = 0;
  let wanted = 0;
  let moving = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const next = (): void => {
    if (moving || (held === 0 && performance.now() > wanted)) return;
    moving = true;
    move.once(() => {
      timer = setTimeout(() => {
        moving = false;
        next();
      }, WARM_MILLISECONDS);
      timer.unref();
    });
  };
  const hint = (): void => {
    wanted = performance.now() + HINT_MILLISECONDS;
    next();
  };
  return {
    hint,
    hold: () => {
      held++;
      next();
      let released = false;
      return () => {
        if (!released) held--;
        released = true;
      };
    },
    close: () => {
      clearTimeout(timer);
      moving = true;
      move.close();
    },
  };
}

/** Moves a thread of this process into the cgroup that it is in, on a thread of the pool; calls back when that is done, or could not be done. */
function mover(tasks: string): { once(done: () => void): void; close(): void } {
  let fd = -1;
  let thread = "";
  let writing = false;
  let closed = false;
  const isOurs = (id: string): boolean => id !== "" && existsSync(`/proc/self/task/${id}`);
  return {
    once: (done) => {
      try {
        if (fd < 0) fd = openSync(tasks, "r+");
        // Never a number that has become somebody else's meanwhile.
        if (!isOurs(thread)) thread = readFileSync(tasks, "utf8").split("\n").find(isOurs) ?? "";
        if (thread === "") return done();
        writing = true;
        write(fd, thread, null, "utf8", () => {
          writing = false;
          if (closed) closeSync(fd);
          else done();
        });
      } catch {
        // The cgroup was removed at the end: nothing is lost but time.
        done();
      }
    },
    // A write that waits for its turn would go to whatever file has the number by then.
    close: () => {
      if (fd >= 0 && !closed && !writing) closeSync(fd);
      closed = true;
    },
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
