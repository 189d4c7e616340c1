import { LighterError, messageOf } from "../base/errors.ts";

/** The exit code that a failed start stands for, as clients read it: 127 not found, 126 not executable, else 128. */
export function startExitCode(message: string): number {
  if (/executable file not found|no such file or directory|system cannot find the file specified/i.test(message)) return 127;
  if (/permission denied|not a directory|is a directory|exec format error/i.test(message)) return 126;
  return 128;
}

/** How every refusal of an exec begins. */
export const EXEC_FAILED = "OCI runtime exec failed: exec failed";

/** How every refusal of a container's process begins. */
const CREATE_FAILED =
  "failed to create task for container: failed to create shim task: OCI runtime create failed: unable to start container process";

/** runc's words for a working directory that cannot be entered; clients see 126, whatever the reason. */
function folderSentence(folder: string, why: string): string {
  return `chdir to cwd (${JSON.stringify(folder)}) set in config.json failed: ${why.toLowerCase()}`;
}

/**
 * A runtime's refusal in the words that Docker's clients recognise: whatever runtime it was, a missing program reads
 * `exec: "x": executable file not found in $PATH`. Other errors pass through.
 * @param program first word of the command
 */
export function startError(error: unknown, program: string, act: "create" | "exec"): unknown {
  if (!(error instanceof LighterError) || error.kind !== "runtime") return error;
  // crun 1.21 says "chdir to".
  const [, folder, why] = /chdir (?:to )?`(.*)`: (.*): unknown$/.exec(messageOf(error)) ?? [];
  if (act === "exec" && folder !== undefined && why !== undefined)
    return new LighterError("runtime", `${EXEC_FAILED}: unable to start container process: ${folderSentence(folder, why)}: unknown`, {
      cause: error,
    });
  // Docker finds out as it makes the directory.
  if (folder !== undefined && why === "Not a directory")
    return new LighterError("runtime", `Cannot mkdir: ${folder} is not a directory`, { cause: error });
  // crun 1.8 names the source; 1.21 the place in the container, and guesses behind it.
  const unmapped = /mount_setattr `(.*)`(?: \(.*\))?: Invalid argument|(?<runc>MOUNT_ATTR_IDMAP)/.exec(messageOf(error));
  if (unmapped !== null)
    return new LighterError(
      "invalid",
      `Cannot map the owners of ${unmapped[1] === undefined ? "a mount" : `"${unmapped[1]}"`}: its file system does not allow that with this kernel; leave idmap away, or put the files on ext4, xfs, btrfs or tmpfs`,
      { cause: error },
    );
  const [, source, place] = /mount `(.*)` to `(.*)`: Not a directory/.exec(messageOf(error)) ?? [];
  if (source !== undefined && place !== undefined)
    return new LighterError(
      "runtime",
      `${CREATE_FAILED}: error during container init: error mounting ${JSON.stringify(source)} to rootfs at ${JSON.stringify(`/${place}`)}: not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type`,
      { cause: error },
    );
  const sentence = programSentence(messageOf(error), program);
  if (sentence === undefined) return error;
  const prefix = act === "create" ? CREATE_FAILED : `${EXEC_FAILED}: unable to start container process`;
  return new LighterError("runtime", `${prefix}: exec: ${JSON.stringify(program)}: ${sentence}: unknown`, { cause: error });
}

function programSentence(message: string, program: string): string | undefined {
  const text = message.replace(/^OCI runtime \w+ failed: /, "").toLowerCase();
  const absolute = program.includes("/");
  // crun: "executable file `x` not found in $PATH: No such file or directory", "open executable: Permission denied"; runc: `exec: "x": executable file not found in $PATH`
  // crun 1.21: "the path `/etc` is not a regular file: Operation not permitted"
  // The profile's name is written to a file called exec: what is missing is the profile.
  if (text.includes("apparmor")) return undefined;
  const aboutProgram = /executable|exec(?:ve)?\b|exec:|is not a regular file/.test(text);
  if (!aboutProgram) return undefined;
  if (/not found in \$path/.test(text))
    return absolute ? `stat ${program}: no such file or directory` : "executable file not found in $PATH";
  if (/no such file or directory/.test(text))
    return absolute ? `stat ${program}: no such file or directory` : "executable file not found in $PATH";
  if (/exec format error/.test(text)) return "exec format error";
  if (/is a directory/.test(text)) return "is a directory";
  // crun says "Operation not permitted" of a directory.
  if (/permission denied|operation not permitted/.test(text)) return "permission denied";
  if (/not a directory/.test(text)) return "not a directory";
  return undefined;
}
