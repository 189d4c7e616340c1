import { readdirSync, readlinkSync } from "node:fs";
import { stealFd } from "./pidfd.ts";

/**
 * The writing end of a process's standard input, from the process that holds it (its monitor): a duplicate, which does not block as far
 * as the holder's does not. Undefined when the input is no pipe, or not the holder's, or one of the two is gone.
 */
export function stealInputPipe(pid: number, holder: number, holderPidfd: number): number | undefined {
  try {
    const pipe = readlinkSync(`/proc/${pid}/fd/0`);
    if (!pipe.startsWith("pipe:")) return undefined;
    const fd = readdirSync(`/proc/${holder}/fd`).find((name) => linkOf(`/proc/${holder}/fd/${name}`) === pipe);
    return fd === undefined ? undefined : stealFd(holderPidfd, Number(fd));
  } catch {
    return undefined;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
