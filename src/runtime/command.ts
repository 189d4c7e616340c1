import { closeFd, memoryFile, readFromStart } from "../linux/fd.ts";
import { codeOfStatus } from "../linux/pidfd.ts";
import { ended } from "./conmon.ts";
import { type Context, globalArguments, needsOwnMounts } from "./context.ts";
import type { RuntimeRecord } from "./runtime.ts";
import { searchPath } from "./search-path.ts";

/** Runs one of an OCI runtime's own commands to its end, away from the main thread; for everything that no system call replaces. `input` is a descriptor for its stdin. */
export async function runCommand(
  context: Context,
  runtime: RuntimeRecord,
  command: string[],
  options: { input?: number } = {},
): Promise<{ code: number; output: string }> {
  const output = memoryFile("runtime");
  try {
    const pid = await context.spawner.spawn({
      argv: [context.programOf(runtime), ...globalArguments(context, runtime), ...command],
      env: [`PATH=${searchPath()}`],
      cwd: "/",
      fds: [options.input ?? -1, output, output],
      privateMounts: needsOwnMounts(context, runtime),
    });
    const status = await ended(pid);
    return { code: status === undefined ? 255 : codeOfStatus(status), output: readFromStart(output).toString() };
  } finally {
    closeFd(output);
  }
}
