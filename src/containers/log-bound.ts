import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { isAlive } from "../linux/process.ts";
import type { Task } from "../runtime/runtime.ts";
import type { OutputSink } from "../wire/stream.ts";
import { type Context, tellAlone } from "./context.ts";
import type { Live } from "./live.ts";
import { cutLog } from "./log-cut.ts";
import { inodeOf, rotatedNumbers } from "./log-files.ts";
import { type LogLimits, logLimits } from "./log-limits.ts";
import { LossWatch } from "./log-loss.ts";
import { packLogs, removeHalfPacked } from "./log-pack.ts";
import { dropLogs, reopen, rotateLog, sizeOfLog } from "./log-rotate.ts";
import { isShipped } from "./log-shipping.ts";
import { pathsOf } from "./paths.ts";
import type { ContainerRow } from "./rows.ts";

const log = logOf("containers");

/** What one byte of output can be in the log: its own line, with time (35), stream (6), mark, three spaces and newline. */
const LOG_BYTES_PER_BYTE = 48;
/** The size is not looked at more often than after these bytes of log. */
const LEAST_BUDGET = 4096;
/** Below this size of a file, the monitor is kept from running ahead of us. */
const SMALL_FILE = 5_000_000;
/** A monitor may still have the last daemon's message to begin a new file. */
const LAST_MESSAGE_MILLISECONDS = 1000;
/** From this size on, what a monitor may have ahead of us when its output goes past us (512 KiB) fits into one file more, however short its lines: one of two bytes is 47 in the log. */
const WIDE_FILE = 16_000_000;
/** Files of a log that is rotated more often than this are gone before it pays to compress them. */
const CALM_MILLISECONDS = 2000;
/** The longest that a writer is made to wait at a time, in milliseconds. */
const LONGEST_PAUSE = 32;
/** After a rotation that failed, the next try waits for this. */
const RETRY_MILLISECONDS = 2000;

/**
 * Keeps the log of a running container within its limits, from now to its end. The output that passes by is counted at the most that it can be in the
 * log, and the file's size asked for only when that could have reached the limit: a container that writes nothing costs nothing.
 */
export function boundLog(context: Context, row: ContainerRow, live: Live, task: Task): void {
  const limits = limitsOf(row);
  if (row.desired.hostConfig.LogConfig?.Type === "none" || limits.maxSize === Infinity) return;
  const path = pathsOf(context.needs.options, row.id).log;
  let ended = false;
  const over = (): boolean => ended || context.closing;
  let budget = 0;
  let busy = false;
  let work = Promise.resolve();

  const look = (): void => {
    if (busy || over()) return;
    const size = sizeOfLog(path);
    // Without a monitor nothing comes any more.
    if (!isAlive(task.record.monitor)) budget = Infinity;
    else if (size !== undefined && size < limits.maxSize) budget = Math.max(LEAST_BUDGET, limits.maxSize - size);
    else {
      busy = true;
      work = live.logLock.run(() => (size === undefined ? recover() : rotate())).then(rest, failed);
    }
  };
  /** Unless somebody else has rotated it meanwhile. */
  const rotate = async (): Promise<void> => {
    if ((sizeOfLog(path) ?? 0) < limits.maxSize) return;
    await rotateLog(path, live, task, limits, over);
    packSoon(CALM_MILLISECONDS);
  };
  let packing: ReturnType<typeof setTimeout> | undefined;
  const packSoon = (wait: number): void => {
    if (!limits.compress) return;
    clearTimeout(packing);
    packing = setTimeout(() => {
      const above = firstToPack(context, row, live, path);
      packLogs(path, live, above, () => context.closing).catch((error: unknown) =>
        log.debug("cannot compress the log of {id}: {error}", { id: row.id, error: messageOf(error) }),
      );
    }, wait).unref();
  };
  const rest = (): void => {
    busy = false;
    look();
  };
  const failed = (error: unknown): void => {
    if (over()) return;
    log.warn("cannot rotate the log of {id}: {error}", { id: row.id, error: messageOf(error) });
    setTimeout(rest, RETRY_MILLISECONDS).unref();
  };
  /** The last daemon had put the log aside when it ended. */
  const recover = async (): Promise<void> => {
    const until = performance.now() + LAST_MESSAGE_MILLISECONDS;
    while (sizeOfLog(path) === undefined && performance.now() < until && !over()) await Bun.sleep(20);
    if (sizeOfLog(path) === undefined && !over()) await reopen(path, task, over);
    await dropLogs(path, limits, 1);
  };

  const loss = new LossWatch(path, {
    full: () => log.warn("the disk is full: output of {id} is not kept", { id: row.id }),
    lost: (lines) => {
      if (context.closing) return;
      log.warn("about {lines} lines of the output of {id} were not kept, as the disk was full", { id: row.id, lines });
      tellAlone(context, row, "log-loss", { lines: String(lines) });
    },
  });
  // What is on its way when a small file is full would fill it several times over.
  let narrow = limits.maxSize >= SMALL_FILE || task.narrowOutput();
  let pause = 1;
  let meanwhile = 0;
  /** Whether the program may go on at once. */
  const counted = (bytes: number): boolean => {
    if (!narrow) narrow = task.narrowOutput();
    budget -= bytes * LOG_BYTES_PER_BYTE;
    if (budget <= 0) look();
    if (!busy) {
      pause = 1;
      meanwhile = 0;
    }
    return !busy || (meanwhile += bytes) < limits.maxSize / 32;
  };
  const count: OutputSink = {
    // While a log that is full is being changed, a fast writer goes on in small steps only, each one longer: its monitor must come to read the message.
    room: 0,
    write: (_stream, data) => {
      loss.saw(data);
      return counted(data.length);
    },
    ...(limits.maxSize >= WIDE_FILE && {
      passed: (bytes: number) => {
        loss.passed(bytes);
        return counted(bytes);
      },
    }),
    drained: async () => {
      await Promise.race([work, Bun.sleep(pause)]);
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    },
    end: () => undefined,
  };
  void removeHalfPacked(path)
    .then(() => packSoon(CALM_MILLISECONDS))
    .catch((error: unknown) => log.debug("cannot tidy the log of {id}: {error}", { id: row.id, error: messageOf(error) }));
  task.attach(count, { stdin: false, stdout: true, stderr: true });
  void task.exited
    .then(async () => {
      ended = true;
      await loss.end();
      // What is being rotated away comes to its end first.
      await work;
      await live.lock.run(() => (live.task === undefined ? live.logLock.run(() => boundEnded(path, limits)) : Promise.resolve()));
      packSoon(CALM_MILLISECONDS);
    })
    .catch((error: unknown) => log.warn("cannot shorten the log of {id}: {error}", { id: row.id, error: messageOf(error) }));
  look();
}

/** Options are checked when a container is made; rows of an older version may hold others. */
function limitsOf(row: ContainerRow): LogLimits {
  const logging = row.desired.hostConfig.LogConfig;
  try {
    return logLimits(logging);
  } catch {
    return logLimits(undefined);
  }
}

/** The files behind this number are complete, and sent where they are to be sent. */
function firstToPack(context: Context, row: ContainerRow, live: Live, path: string): number {
  // A monitor that has not begun its new file yet still writes to the first one.
  const written = sizeOfLog(path) === undefined && live.task !== undefined && isAlive(live.task.record.monitor);
  const above = written ? 1 : 0;
  if (!isShipped(row)) return above;
  const shipped = context.shipping.shippedFile(row.id);
  if (shipped !== undefined && inodeOf(path) === shipped) return above;
  return rotatedNumbers(path).find((number) => inodeOf(`${path}.${number}`) === shipped) ?? Infinity;
}

/** The rest of a log whose writer is gone. What lies before a file that loses its beginning goes with it. */
async function boundEnded(path: string, limits: LogLimits): Promise<void> {
  const huge = (sizeOfLog(path) ?? 0) > limits.maxFiles * limits.maxSize;
  await dropLogs(path, huge ? { ...limits, maxFiles: 1 } : limits, 1);
  if (huge) await cutLog(path, limits.maxSize);
}
