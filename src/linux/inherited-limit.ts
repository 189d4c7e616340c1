import { readFileSync, readlinkSync } from "node:fs";

/** systemd's default: https://www.freedesktop.org/software/systemd/man/systemd-system.conf.html "DefaultLimitNOFILE" */
const SYSTEMD = { soft: 1024, hard: 524_288 };
const MOST_PARENTS = 8;

/**
 * The soft limit of open files that this process was started with; undefined when that cannot be told. Bun raises its own to the hard limit at
 * once, and its children would inherit that; programs that close or count all descriptors up to the limit take seconds then.
 */
export function inheritedNofile(environment: NodeJS.ProcessEnv = process.env): { soft: number; hard: number } | undefined {
  const own = nofile("self");
  if (own === undefined) return undefined;
  // A unit with a limit of its own (`LimitNOFILE=N`) has both the same.
  if (environment["INVOCATION_ID"] !== undefined) return own.hard === SYSTEMD.hard ? SYSTEMD : own;
  const parent = firstOther(process.ppid);
  const limit = parent === undefined ? undefined : nofile(String(parent));
  return limit?.hard === own.hard ? limit : undefined;
}

/** The nearest parent that runs another program: a client that starts the daemon has raised its limit, too. */
function firstOther(pid: number): number | undefined {
  try {
    const own = readlinkSync("/proc/self/exe");
    for (let steps = 0; steps < MOST_PARENTS && pid > 1; steps++) {
      if (readlinkSync(`/proc/${pid}/exe`) !== own) return pid;
      pid = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
    }
  } catch {
    // A process that has gone, or is not ours to look at.
  }
  return undefined;
}

function nofile(pid: string): { soft: number; hard: number } | undefined {
  try {
    const match = /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"));
    return match === null ? undefined : { soft: Number(match[1]), hard: Number(match[2]) };
  } catch {
    return undefined;
  }
}
