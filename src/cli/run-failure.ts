import { messageOf } from "../base/errors.ts";
import type { App } from "./app.ts";

/** Exit codes of `run` for what goes wrong before the program runs. */
export const EXIT = { engine: 125, notExecutable: 126, notFound: 127 } as const;

/** Says a failure the way docker's `run` says it. Returns the exit code for it. */
export function runFailure(app: App, called: string, error: unknown, code: number = EXIT.engine): number {
  app.err(`${app.program}: ${messageOf(error)}\n\nRun '${called} --help' for more information\n`);
  return code;
}

/** The exit code for a container that could not be started: whether its program is missing, may not run, or something else failed. */
export function startFailureCode(error: unknown): number {
  const text = messageOf(error);
  if (/executable file not found|no such file or directory|system cannot find the file specified/.test(text)) return EXIT.notFound;
  if (/permission denied|is a directory/.test(text)) return EXIT.notExecutable;
  return EXIT.engine;
}
