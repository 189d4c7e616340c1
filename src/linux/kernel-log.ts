import { closeSync, constants, openSync, readSync } from "node:fs";

/** One record with all that belongs to it is never longer. https://docs.kernel.org/admin-guide/abi-testing.html (dev-kmsg) */
const RECORD_BYTES = 8192;
const MICROSECONDS = 1e6;
/** The log's clock and that of the processes' start times drift apart by less. */
const SLACK_SECONDS = 2;

/**
 * Whether the kernel's log tells of a kill for want of memory in a cgroup (or below it) since a time, in seconds since boot. It is the one
 * witness left when the cgroup is gone already. False where the log is not ours to read, or has been overwritten.
 */
export function oomKillLogged(cgroup: string, since: number): boolean {
  for (const record of kernelLog()) if (isOomKill(record, cgroup, since)) return true;
  return false;
}

/** Whether a record of `/dev/kmsg` (`level,sequence,microseconds,flags;text`) is that of {@link oomKillLogged}. */
export function isOomKill(record: string, cgroup: string, since: number): boolean {
  const [, time = "", text = ""] = /^\d+,\d+,(\d+),[^;]*;oom-kill:(.*)/.exec(record) ?? [];
  if (Number(time) / MICROSECONDS < since - SLACK_SECONDS) return false;
  const [, path = ""] = /,task_memcg=([^,]*)/.exec(text) ?? [];
  return path === cgroup || path.startsWith(`${cgroup}/`);
}

function* kernelLog(): Generator<string> {
  const file = openOrNot();
  if (file === undefined) return;
  const buffer = Buffer.allocUnsafe(RECORD_BYTES);
  try {
    for (let length = 1; length > 0;) {
      length = readRecord(file, buffer);
      yield buffer.toString("latin1", 0, length);
    }
  } finally {
    closeSync(file);
  }
}

/** The next record's length; 0 at the end. Records that were overwritten meanwhile are passed over. */
function readRecord(file: number, buffer: Buffer): number {
  for (;;) {
    try {
      return readSync(file, buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EPIPE") return 0;
    }
  }
}

function openOrNot(): number | undefined {
  try {
    return openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}
