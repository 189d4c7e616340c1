import type { StopOptions } from "../client/containers.ts";
import { int, string, type Values } from "./flags.ts";

/** The flags of `stop` and `restart`. */
export const stopFlags = {
  signal: string("Signal that asks the container to end", "s"),
  timeout: int("Seconds until it is killed", { short: "t", aliases: ["time"] }),
};

/** What the flags ask of the daemon; without `--timeout` the container's own time counts. */
export function stopOptions(flags: Values<typeof stopFlags>, timed: boolean): StopOptions {
  return { ...(timed && { timeout: flags.timeout }), ...(flags.signal !== "" && { signal: flags.signal }) };
}
