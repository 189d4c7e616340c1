import { ptr } from "bun:ffi";
import { constants } from "node:fs";
import { closeFd, openFd } from "./fd.ts";
import { libc } from "./libc.ts";

/** The longest of these files are the statistics of a host with hundreds of processors. */
const LONGEST = 256 << 10;
/** Descriptors kept at once, of all files together; those beyond are opened for each read. */
const MOST_KEPT = 4096;

let kept = 0;
let buffer: { bytes: Buffer; pointer: ReturnType<typeof ptr> } | undefined;

/**
 * A file of /proc or of a control group, whose text the kernel makes up at each read: reading never waits for a disk. Its descriptor is kept from
 * the first read on until `rest`, so that a read is one system call.
 */
export class KernelFile {
  readonly path: string;
  #fd = -1;

  constructor(path: string) {
    this.path = path;
  }

  /** The text now; undefined when there is no such file, or what it told of has gone. */
  read(): string | undefined {
    return this.scan((bytes, length) => bytes.toString("latin1", 0, length));
  }

  /** Has the bytes read by a function, which must not keep them: they lie in one buffer of all files. Undefined as with {@link read}. */
  scan<T>(parse: (bytes: Buffer, length: number) => T): T | undefined {
    const fd = this.#fd >= 0 ? this.#fd : openOrNot(this.path);
    if (fd < 0) return undefined;
    buffer ??= allocate();
    const count = Number(libc().pread(fd, buffer.pointer, LONGEST, 0));
    if (this.#fd < 0) this.#keep(fd);
    return count < 0 ? undefined : parse(buffer.bytes, count);
  }

  /** Closes the descriptor; the next read opens it again. */
  rest(): void {
    if (this.#fd < 0) return;
    closeFd(this.#fd);
    this.#fd = -1;
    kept--;
  }

  #keep(fd: number): void {
    if (kept >= MOST_KEPT) return closeFd(fd);
    this.#fd = fd;
    kept++;
  }
}

function openOrNot(path: string): number {
  try {
    return openFd(path, constants.O_RDONLY);
  } catch {
    return -1;
  }
}

function allocate(): NonNullable<typeof buffer> {
  const bytes = Buffer.alloc(LONGEST);
  return { bytes, pointer: ptr(bytes) };
}
