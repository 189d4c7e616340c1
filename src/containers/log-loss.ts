import { statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";

const NEWLINE = 0x0a;
/** What a line of the log has beside its text: time, stream, mark, spaces and newline. */
const HEAD = 46;
/** It is asked for this often while output comes. */
const ASK_MILLISECONDS = 1000;
/** Of what passes by, so much shows how long lines are. */
const SAMPLE_BYTES = 8192;
/** With less than this a file system is full: the kernel keeps some back. */
const FULL_BYTES = 64 << 10;

/** What is said of lines that did not get into a log. */
export interface LossReport {
  /** The disk has become full. */
  full(): void;
  /** It no longer is, or the program has ended: about so many lines are lost. */
  lost(lines: number): void;
}

/**
 * Watches whether the log of a program grows by what it writes. The monitor writes on when the disk is full, and says nothing: what passes by is compared with
 * the file's growth then, at the length of line that is seen.
 */
export class LossWatch {
  readonly #path: string;
  readonly #report: LossReport;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #passed = 0;
  #sample: Uint8Array | undefined;
  /** Bytes of a line, as last seen. */
  #line = 1;
  #file: { inode: number; size: number };
  #full = false;
  #lines = 0;
  #ended = false;

  constructor(path: string, report: LossReport) {
    this.#path = path;
    this.#report = report;
    this.#file = fileAt(path) ?? { inode: 0, size: 0 };
  }

  /** Takes note of output that passes by. */
  saw(data: Uint8Array): void {
    this.#sample = data;
    this.passed(data.length);
  }

  /** The same, of output that nobody here sees. */
  passed(bytes: number): void {
    this.#passed += bytes;
    this.#timer ??= setTimeout(() => void this.#ask().catch(() => undefined), ASK_MILLISECONDS).unref();
  }

  /** The program has ended. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    // With its container, the log may be gone already.
    if (this.#passed > 0 || this.#full) await this.#ask().catch(() => undefined);
  }

  async #ask(): Promise<void> {
    const { bavail, bsize } = await statfs(dirname(this.#path));
    this.#timer = undefined;
    const full = bavail * bsize < FULL_BYTES;
    const growth = this.#growth();
    const passed = this.#passed;
    this.#passed = 0;
    if (full && !this.#full) this.#report.full();
    if (this.#sample !== undefined) this.#line = lengthOfLine(this.#sample.subarray(0, SAMPLE_BYTES));
    this.#sample = undefined;
    if (full || this.#full) this.#lines += Math.max(0, Math.round(passed / this.#line - growth / (HEAD - 1 + this.#line)));
    this.#full = full;
    if (this.#lines === 0 || (full && !this.#ended)) return;
    this.#report.lost(this.#lines);
    this.#lines = 0;
  }

  /** Bytes that came into the log since the last call, through one rotation at most. */
  #growth(): number {
    const before = this.#file;
    const file = fileAt(this.#path) ?? { inode: 0, size: 0 };
    this.#file = file;
    if (file.inode === before.inode) return Math.max(0, file.size - before.size);
    const old = fileAt(`${this.#path}.1`);
    return file.size + (old?.inode === before.inode ? Math.max(0, old.size - before.size) : 0);
  }
}

function fileAt(path: string): { inode: number; size: number } | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found && { inode: found.ino, size: found.size };
}

function lengthOfLine(sample: Uint8Array): number {
  let ends = 0;
  for (const byte of sample) if (byte === NEWLINE) ends++;
  return ends === 0 ? Math.max(1, sample.length) : sample.length / ends;
}
