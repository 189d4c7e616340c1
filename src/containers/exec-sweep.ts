import { existsSync, readFileSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { logOf } from "../base/log.ts";
import { endTree } from "../linux/process-tree.ts";
import { type Context, liveOf } from "./context.ts";
import { runningExecIds } from "./exec-rows.ts";
import { pathsOf } from "./paths.ts";

const log = logOf("containers");
/** How often, and after how many milliseconds, a process that was just being made is looked for. */
const TRIES = 10;
const PAUSE = 300;

/**
 * Ends, in the background, what the last daemon was making when it died: execs that nobody was told of, and directories of those that were over.
 * Called once at start, after the execs that rows name are adopted.
 */
export async function sweepExecs(context: Context, containers: Iterable<string>): Promise<void> {
  for (const container of containers) {
    const parent = `${pathsOf(context.needs.options, container).run}/exec`;
    const known = new Set(runningExecIds(context.needs.state, container));
    for (const name of await readdir(parent).catch(() => []))
      if (!known.has(name))
        endUnnamed(context, container, `${parent}/${name}`).catch((error: unknown) =>
          log.warn("cannot end {name}: {error}", { name, error }),
        );
  }
}

/** No row knows the pid; its monitor's file does, or will in a moment. */
async function endUnnamed(context: Context, container: string, directory: string): Promise<void> {
  const pids = (): number[] => liveOf(context, container).task?.pids() ?? [];
  for (let tries = 0; tries < TRIES && !context.closing; tries++) {
    const pid = readPid(`${directory}/pidfile`);
    // With an exit file it is over, and its pid may be another's.
    if (pid !== undefined && !existsSync(`${directory}/exit`) && pids().includes(pid)) await endTree(pid, pids);
    if (pid !== undefined) break;
    await Bun.sleep(PAUSE);
  }
  await rm(directory, { recursive: true, force: true });
}

function readPid(path: string): number | undefined {
  try {
    return Number(readFileSync(path, "utf8")) || undefined;
  } catch {
    return undefined;
  }
}
