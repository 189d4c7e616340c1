import type { App } from "./app.ts";
import type { Flags, Values } from "./flags.ts";

/** One call of a command. */
export interface Call<F extends Flags = Flags> {
  flags: Values<F>;
  /** Whether the flag stood on the command line. */
  given: (name: keyof F & string) => boolean;
  args: string[];
  /** The command as it was called: `docker container ls`. */
  called: string;
  app: App;
}

/** A command, as data. */
export interface Command<F extends Flags = Flags> {
  /** The words after the command's name in the usage line. */
  usage: string;
  /** How many arguments it takes; one number for "exactly". */
  args: number | readonly [least: number, most: number];
  flags: F;
  /** The arguments are another command line: flags end at the first word. */
  stopAtWord?: boolean;
  /** Does the work. Returns the exit code, 0 when nothing. */
  run: (call: Call<F>) => Promise<number | void>;
}

/** Keeps the types of a command's flags for its `run`. */
export function command<F extends Flags>(spec: Command<F>): Command {
  return spec as unknown as Command;
}

/** "Any number" as the upper bound of arguments. */
export const MANY = Number.POSITIVE_INFINITY;
