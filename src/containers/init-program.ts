import { LighterError } from "../base/errors.ts";

/** The init program of `--init`: the first of docker-init, tini and catatonit in PATH. Throws `unsupported` when there is none. */
export function initProgram(): string {
  const found = Bun.which("docker-init") ?? Bun.which("tini-static") ?? Bun.which("tini") ?? Bun.which("catatonit");
  if (found === null)
    throw new LighterError(
      "unsupported",
      "Cannot use --init: none of docker-init, tini and catatonit is in PATH; install tini or catatonit",
    );
  return found;
}
