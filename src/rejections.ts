import { messageOf } from "./base/errors.ts";
import { logOf } from "./base/log.ts";

/**
 * A promise that nobody looks after fails: an error of ours, told in full, but no reason to leave all containers alone.
 * Whoever waits for it (a client) hears nothing; the count says how often it came to that since the start.
 */
export function logRejections(): Disposable {
  let count = 0;
  const tell = (reason: unknown): void => {
    const stack = reason instanceof Error ? reason.stack : undefined;
    logOf("daemon").error("unhandled rejection {count}: {error}", { count: ++count, error: messageOf(reason), stack: stack ?? "" });
  };
  process.on("unhandledRejection", tell);
  return { [Symbol.dispose]: () => void process.off("unhandledRejection", tell) };
}
