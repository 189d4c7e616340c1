import { LighterError } from "../base/errors.ts";
import { attachExec, createExec, inspectExec, resizeExec, startExec, type ExecBody } from "../client/execs.ts";
import { command, MANY } from "./command.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "./detach-keys.ts";
import { readKeyValueFile } from "./env-file.ts";
import { execAtOnce } from "./exec-at-once.ts";
import { bool, list, string } from "./flags.ts";
import { followSize, inputIsTerminal, terminalSize } from "./terminal.ts";

/** `exec`: runs a command in a container that runs. */
export const exec = command({
  usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  args: [2, MANY],
  stopAtWord: true,
  flags: {
    detach: bool("Run it in the background", "d"),
    "detach-keys": string("Keys that leave the command"),
    env: list("Set an environment variable", "e"),
    "env-file": list("Read environment variables from a file"),
    interactive: bool("Keep stdin open", "i"),
    privileged: bool("Give it all rights of the host's root"),
    tty: bool("Give it a terminal", "t"),
    user: string("User, and group, that it runs as (<name|uid>[:<group|gid>])", "u"),
    workdir: string("Folder that it starts in", "w"),
  },
  async run({ flags, args, app }) {
    const [container = "", ...Cmd] = args;
    const keys = flags["detach-keys"] || (app.config.detachKeys ?? "");
    if (!flags.detach && flags.tty && flags.interactive && !inputIsTerminal())
      throw new LighterError("invalid", "the input device is not a TTY");
    const env = [
      ...flags["env-file"].flatMap((path) => readKeyValueFile(path, (key) => process.env[key])),
      ...flags.env.flatMap(fromEnvironment),
    ];
    const size = flags.tty && !flags.detach ? terminalSize() : undefined;
    const body: ExecBody = {
      Cmd,
      ...(flags.tty && { Tty: true }),
      ...(flags.privileged && { Privileged: true }),
      ...(flags.user !== "" && { User: flags.user }),
      ...(flags.workdir !== "" && { WorkingDir: flags.workdir }),
      ...(env.length > 0 && { Env: env }),
      ...(!flags.detach && { AttachStdout: true, AttachStderr: true, AttachStdin: flags.interactive }),
      ...(keys !== "" && { DetachKeys: keys }),
      ...(size && { ConsoleSize: [size.height, size.width] as [number, number] }),
    };
    const detachKeys = parseDetachKeys(keys || DEFAULT_DETACH_KEYS);
    if (!flags.detach && !flags.tty && !flags.interactive) {
      const code = await execAtOnce(app, container, body);
      if (code !== undefined) return code;
    }
    const connection = await app.connection();
    const id = await createExec(connection, container, body);
    if (flags.detach) {
      await startExec(connection, id, flags.tty);
      return 0;
    }
    const { streamSession } = await import("./stream.ts");
    const stream = await attachExec(connection, id, { tty: flags.tty, ...(size && { size }) });
    const endResize = flags.tty ? followSize((to) => resizeExec(connection, id, to)) : () => {};
    const end = await streamSession(stream, { tty: flags.tty, stdin: flags.interactive, detachKeys });
    endResize();
    if (end === "detached") throw new LighterError("cancelled", "read escape sequence");
    const { ExitCode } = await inspectExec(connection, id);
    return ExitCode ?? 0;
  },
});

/** `-e NAME` takes the caller's value, and is left out where there is none. */
function fromEnvironment(variable: string): string[] {
  if (variable.includes("=")) return [variable];
  const value = process.env[variable];
  return value === undefined ? [variable] : [`${variable}=${value}`];
}
