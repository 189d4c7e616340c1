import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { logOf } from "../base/log.ts";
import { killTree } from "../linux/process-tree.ts";
import { type Context, liveOf } from "./context.ts";
import { killCheck } from "./health-check.ts";
import { checksUnderWay, setChecking } from "./health-rows.ts";
import { pathsOf } from "./paths.ts";

const log = logOf("containers");
/** How often, and after how many milliseconds, a check that was just being made is looked for. */
const TRIES = 10;
const PAUSE = 300;

/**
 * Takes up the checks of the last daemon, once containers and execs are adopted: what was under way is killed and counts for nothing, what is
 * next begins when its row says.
 * @param running ids of the containers that run on
 */
export function restoreHealth(context: Context, running: Iterable<string>): void {
  for (const { container, exec } of checksUnderWay(context.needs.state)) {
    if (liveOf(context, container).execs.has(exec)) killCheck(liveOf(context, container), exec);
    else
      killUnnamed(context, container, exec).catch((error: unknown) =>
        log.warn("cannot end the check of {container}: {error}", { container, error }),
      );
    context.needs.state.write((tx) => setChecking(tx, container, undefined), { durable: false });
  }
  for (const id of running) context.health.begin(id);
}

/** The daemon died while the process was being made: no row knows its pid, its monitor's file does, or will in a moment. */
async function killUnnamed(context: Context, container: string, exec: string): Promise<void> {
  const directory = `${pathsOf(context.needs.options, container).run}/exec/${exec}`;
  const pids = (): number[] => liveOf(context, container).task?.pids() ?? [];
  for (let tries = 0; tries < TRIES; tries++) {
    const pid = readPid(`${directory}/pidfile`);
    if (pid !== undefined && pids().includes(pid)) killTree(pid, pids);
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
