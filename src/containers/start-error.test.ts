import { expect, test } from "bun:test";
import { LighterError, messageOf } from "../base/errors.ts";
import { startError, startExitCode } from "./start-error.ts";

/** As crun 1.8.1, crun 1.21 and runc 1.1 say it; what is behind the runtime's own prefix in ours, and the exit code. */
const SAID: readonly [string, string, string, number][] = [
  ["executable file `nope` not found in $PATH: No such file or directory", "nope", "executable file not found in $PATH", 127],
  ["executable file `/nope` not found: No such file or directory", "/nope", "stat /nope: no such file or directory", 127],
  ['exec: "nope": executable file not found in $PATH', "nope", "executable file not found in $PATH", 127],
  ["open executable: Permission denied", "/etc/passwd", "permission denied", 126],
  ["open executable: Operation not permitted", "/etc", "permission denied", 126],
  ["the path `/etc` is not a regular file: Operation not permitted", "/etc", "permission denied", 126],
  ["the path `/etc/passwd` exists but it is not executable: Operation not permitted", "/etc/passwd", "permission denied", 126],
  ['exec: "/etc": is a directory', "/etc", "is a directory", 126],
  ["exec /script: Exec format error", "/script", "exec format error", 126],
];

test("what runtimes say of a program reads as Docker's clients know it, with its exit code", () => {
  for (const [said, program, words, code] of SAID) {
    const error = startError(new LighterError("runtime", `OCI runtime create failed: ${said}`), program, "create");
    expect(messageOf(error)).toEndWith(`: exec: "${program}": ${words}: unknown`);
    expect(startExitCode(messageOf(error))).toBe(code);
  }
});

test("what is not about the program passes", () => {
  const error = new LighterError("runtime", "OCI runtime create failed: mount `proc` to `/proc`: Operation not permitted");
  expect(startError(error, "true", "create")).toBe(error);
});

test("a working directory that cannot be entered reads as runc says it, whichever crun it was", () => {
  for (const words of ["chdir `/nope`", "chdir to `/nope`"]) {
    const error = startError(
      new LighterError("runtime", `OCI runtime exec failed: ${words}: No such file or directory: unknown`),
      "true",
      "exec",
    );
    expect(messageOf(error)).toEndWith('chdir to cwd ("/nope") set in config.json failed: no such file or directory: unknown');
  }
});

test("a working directory that is a file is told in Docker's words, whichever crun it was", () => {
  for (const words of ["chdir `/etc/passwd`", "chdir to `/etc/passwd`"]) {
    const refused = new LighterError("runtime", `OCI runtime create failed: ${words}: Not a directory: unknown`);
    expect(messageOf(startError(refused, "true", "create"))).toBe("Cannot mkdir: /etc/passwd is not a directory");
  }
});

test("a mount whose owners cannot be mapped is named, whichever crun it was", () => {
  const guess = " (maybe the file system used doesn't support idmap mounts on this kernel?)";
  for (const words of ["mount_setattr `/m`", `mount_setattr \`/m\`${guess}`]) {
    const error = startError(
      new LighterError("runtime", `OCI runtime create failed: ${words}: Invalid argument: unknown`),
      "true",
      "create",
    );
    expect(messageOf(error)).toStartWith('Cannot map the owners of "/m": its file system does not allow that with this kernel');
  }
});
