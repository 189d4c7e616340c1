import { readFileSync, readlinkSync, statSync } from "node:fs";
import { closeFd, writeAll } from "./fd.ts";
import { check, cstr, errno, ERRNO, libc } from "./libc.ts";

const MFD_CLOEXEC = 0x1;
const MFD_ALLOW_SEALING = 0x2;
/** From kernel 6.3 on; older ones refuse it. */
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
/** `F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE`. */
const SEALS = 0xf;

/**
 * A program's file as a sealed copy in memory. The OCI runtimes make such a copy of themselves at each call and run it, so that no
 * container can write to the host's binary (CVE-2019-5736); called by the path of a sealed copy they leave that out.
 */
export class SealedProgram {
  readonly #path: string;
  #fd = -1;
  #identity = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** A path by which any process can run the copy while this one lives; made anew when the file has changed. */
  path(): string {
    const { ino, dev, mtimeMs, size } = statSync(this.#path);
    const identity = `${dev}:${ino}:${mtimeMs}:${size}`;
    if (identity !== this.#identity) {
      const fresh = sealedCopy("oci-runtime", readFileSync(this.#path));
      closeFd(this.#fd);
      this.#fd = fresh;
      this.#identity = identity;
    }
    return `/proc/${readlinkSync("/proc/self")}/fd/${this.#fd}`;
  }

  close(): void {
    closeFd(this.#fd);
    this.#fd = -1;
    this.#identity = "";
  }
}

/** A file in memory that can be run and not be changed any more; `/proc/<pid>/fd/<descriptor>` is its path. */
export function sealedCopy(name: string, content: Uint8Array): number {
  let fd = libc().memfd_create(cstr(name), MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd < 0 && errno() === ERRNO.EINVAL) fd = libc().memfd_create(cstr(name), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  check(fd, "memfd_create");
  writeAll(fd, content);
  check(libc().fcntl(fd, F_ADD_SEALS, SEALS), "fcntl", "F_ADD_SEALS");
  return fd;
}
