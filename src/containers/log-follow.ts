import { now } from "../base/clock.ts";
import type { OutputSink } from "../wire/stream.ts";
import type { LogOptions } from "./containers.ts";
import { type Context, isRunning, liveOf } from "./context.ts";
import type { ContainerRow } from "./rows.ts";

/** What a timer can hold, in milliseconds. */
const LONGEST_WAIT = 2 ** 31 - 1;

/** Tells a reader when it is worth reading again. */
export interface Follower {
  /** Resolves true when more may have come since the call, false when nothing can come any more. */
  ticket(): Promise<boolean>;
  close(): void;
}

/** Woken by the output that passes through the daemon anyway; it keeps none of it. Undefined when nothing runs. */
export function followerOf(context: Context, row: ContainerRow, { signal, until }: LogOptions): Follower | undefined {
  const live = liveOf(context, row.id);
  const task = live.task;
  if (task === undefined || !isRunning(row)) return undefined;
  let count = 0;
  let over = false;
  let wake: (() => void) | undefined;
  const poke = (): void => {
    count++;
    wake?.();
  };
  const end = (): void => {
    over = true;
    poke();
  };
  const sink: OutputSink = {
    write: () => {
      poke();
      return true;
    },
    passed: () => {
      poke();
      return true;
    },
    drained: () => Promise.resolve(),
    end: () => undefined,
  };
  const attachment = task.attach(sink, { stdin: false, stdout: true, stderr: true });
  void task.exited.then(end);
  signal?.addEventListener("abort", end);
  // A time in the future ends the following when it has come.
  const wait = until === undefined ? undefined : Number(until - now()) / 1e6;
  const timer = wait === undefined || wait > LONGEST_WAIT ? undefined : setTimeout(end, Math.max(0, wait));
  return {
    async ticket() {
      const seen = count;
      // The last read comes after the end is known.
      if (over) return false;
      if (count === seen) await new Promise<void>((resolve) => (wake = resolve));
      return true;
    },
    close() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      attachment.detach();
    },
  };
}
