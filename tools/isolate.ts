import { readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * A command line that runs `command` in network, mount and pid namespaces of its own with a loopback device: its daemons and containers meet
 * nothing of the machine, and the kernel ends all of them with it. `sh` stays as process 1 and reaps orphans.
 */
export function isolated(command: readonly string[]): string[] {
  const namespaces = ["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"];
  return ["unshare", ...namespaces, "sh", "-c", 'ip link set lo up && "$@"; exit $?', "sh", ...command];
}

/** Removes the cgroups that daemons of these names left, which namespaces do not end. Only empty ones go. */
export async function removeCgroups(scopes: Iterable<string>): Promise<string[]> {
  const removed: string[] = [];
  const roots = ["/sys/fs/cgroup", ...(await readdir("/sys/fs/cgroup").catch(() => [])).map((name) => join("/sys/fs/cgroup", name))];
  for (const scope of scopes) {
    for (const root of roots) await removeTree(join(root, scope), removed);
  }
  return removed;
}

async function removeTree(folder: string, removed: string[]): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) return;
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(folder, entry.name), removed);
  await rmdir(folder).then(
    () => removed.push(folder),
    () => undefined,
  );
}
