import { readFileSync } from "node:fs";

const EVERY_MILLISECONDS = 1000;
/** Looks in a row that have to agree: a monitor on a busy machine may be slow for one of them. */
const LOOKS = 3;

/**
 * Watches for a conmon that waits for ever: when its OCI runtime is killed after it has made the process, conmon reads that process's stderr for
 * the reason, and the process, which nobody will start, never closes it. The process is killed then, and conmon says that the runtime failed.
 * @param directory where conmon has the pid of the process written
 * @returns what ends the watch
 */
export function watchForStuckMonitor(directory: string, monitorPid: number): () => void {
  let looks = 0;
  const timer = setInterval(() => {
    const pid = Number(read(`${directory}/pidfile`));
    looks = pid > 0 && isLeftTo(pid, monitorPid) && stateOf(monitorPid) === "S" ? looks + 1 : 0;
    if (looks < LOOKS) return;
    clearInterval(timer);
    process.kill(pid, "SIGKILL");
  }, EVERY_MILLISECONDS).unref();
  return () => clearInterval(timer);
}

/** The runtime that made the process is gone: conmon has it now. */
function isLeftTo(pid: number, monitorPid: number): boolean {
  return Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1]) === monitorPid;
}

function stateOf(pid: number): string | undefined {
  return /^State:\s+(\S)/m.exec(read(`/proc/${pid}/status`))?.[1];
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
