import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { LighterError } from "../base/errors.ts";
import { isAlive } from "../linux/process.ts";
import { type Context, find, liveOf } from "./context.ts";
import { rotatedNumbers, rotatedPath } from "./log-files.ts";
import { rotateLog, sizeOfLog } from "./log-rotate.ts";
import { NOT_READABLE } from "./logs.ts";
import { pathsOf } from "./paths.ts";

/** A monitor that is held up by a client that takes no output is not waited for longer; its file goes with the next clearing or rotation. */
const PATIENCE_MILLISECONDS = 3000;

/** See `Containers.clearLogs`. */
export async function clearLogs(context: Context, reference: string): Promise<void> {
  const row = find(context, reference);
  if (row.desired.hostConfig.LogConfig?.Type === "none") throw new LighterError("unsupported", NOT_READABLE);
  const live = liveOf(context, row.id);
  const path = pathsOf(context.needs.options, row.id).log;
  await live.logLock.run(async () => {
    const { task } = live;
    const late = performance.now() + PATIENCE_MILLISECONDS;
    const writes = task !== undefined && isAlive(task.record.monitor);
    if (!writes) live.rotations++;
    if (!writes) await rm(path, { force: true });
    else if (sizeOfLog(path) !== undefined) {
      const all = { maxSize: Infinity, maxFiles: Infinity, compress: false };
      await rotateLog(path, live, task, all, () => performance.now() > late || !isAlive(task.record.monitor));
    }
    const written = writes && !existsSync(path) ? 1 : 0;
    for (const number of rotatedNumbers(path)) if (number > written) await rm(rotatedPath(path, number), { force: true });
  });
}
