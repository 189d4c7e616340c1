import { LighterError } from "../base/errors.ts";

/** The init program of `--init`: the one of the daemon's configuration, else the first of docker-init, tini and catatonit in PATH. Throws `unsupported` when there is none. */
export function initProgram(configured?: string): string {
  const found = configured === undefined ? firstOf("docker-init", "tini-static", "tini", "catatonit") : Bun.which(configured);
  if (found === null && configured !== undefined)
    throw new LighterError("unsupported", `Cannot use --init: the daemon's "init-path" "${configured}" does not exist`);
  if (found === null)
    throw new LighterError(
      "unsupported",
      "Cannot use --init: none of docker-init, tini and catatonit is in PATH; install tini or catatonit",
    );
  return found;
}

function firstOf(...names: string[]): string | null {
  for (const name of names) {
    const path = Bun.which(name);
    if (path !== null) return path;
  }
  return null;
}
