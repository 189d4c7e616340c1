import { join } from "node:path";
import type { ContainersOptions } from "./needs.ts";

/** The files and directories of one container below the data root and the exec root. */
export interface ContainerPaths {
  directory: string;
  /** What the container writes: an overlay's upper directory; where roots are copies, its whole root. */
  upper: string;
  work: string;
  /** Stands in for the layers of an image that has none. */
  empty: string;
  logDirectory: string;
  log: string;
  hosts: string;
  hostname: string;
  resolvConf: string;
  /** Lives as long as the process: bundle, sockets. */
  run: string;
  /** What `--ipc shareable` shares as /dev/shm. */
  shm: string;
}

/** Where everything of the container `id` is. */
export function pathsOf(options: ContainersOptions, id: string): ContainerPaths {
  const directory = join(options.dataRoot, "containers", id);
  return {
    directory,
    upper: `${directory}/${options.copies === true ? "root" : "upper"}`,
    work: `${directory}/work`,
    empty: `${directory}/empty`,
    logDirectory: `${directory}/log`,
    log: `${directory}/log/current`,
    hosts: `${directory}/hosts`,
    hostname: `${directory}/hostname`,
    resolvConf: `${directory}/resolv.conf`,
    run: join(options.execRoot, "containers", id),
    shm: join(options.execRoot, "shm", id),
  };
}

/** The files of a container's names, whoever's container it is. */
export function hostFilesOf(dataRoot: string, id: string): { hosts: string; resolvConf: string } {
  const directory = join(dataRoot, "containers", id);
  return { hosts: `${directory}/hosts`, resolvConf: `${directory}/resolv.conf` };
}
