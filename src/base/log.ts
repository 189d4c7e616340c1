import { getLogger, type Logger } from "@logtape/logtape";

/** The structured logger of one part: `logOf("containers").info("started {id}", { id })`. Silent until `daemon.ts` configures sinks. */
export function logOf(part: string): Logger {
  return getLogger(["lighter", part]);
}
