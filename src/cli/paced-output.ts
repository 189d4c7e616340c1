import type { RunPiece } from "../client/run.ts";
import { node } from "./node.ts";
import { printByNode, printed, write } from "./output.ts";

/** What a program wrote to one output, in pieces. */
export interface OutputRun {
  fd: 1 | 2;
  parts: Uint8Array[];
}

/** More than this at once, twice within so many milliseconds, is a stream that is worth waiting for: */
const BULK_BYTES = 32 << 10;
const CLOSE_MILLISECONDS = 3;
/** more comes together then, for fewer turns of everybody. */
const LONG_MILLISECONDS = 3;
/** or this, where so much has come that a sender's buffer may be full before. */
const SHORT_MILLISECONDS = 1;
const MUCH_BYTES = 128 << 10;
/** Pieces below this are joined for one write. */
const SMALL_BYTES = 16 << 10;
/** Device numbers of /dev/null. https://www.kernel.org/doc/Documentation/admin-guide/devices.txt */
const NULL_DEVICE = (1 << 8) | 3;

/**
 * Writes a program's output to this process's own outputs as it comes, and large amounts at a pace at which they cost little. What nobody is writing just now (`waits: false`, a
 * log) comes as fast as it can instead.
 */
export class PacedOutput {
  readonly #waits: boolean;
  #last = -Infinity;
  readonly #steady = new Map<number, boolean>();

  constructor({ waits = true }: { waits?: boolean } = {}) {
    this.#waits = waits;
  }

  /** Resolves when all is written and more is wanted. Rejects with what keeps an output from being written. */
  async take(runs: readonly OutputRun[]): Promise<void> {
    let size = 0;
    for (const { fd, parts } of runs) {
      for (const bytes of joined(parts)) {
        size += bytes.length;
        if (bytes.length <= SMALL_BYTES || !this.#neverWaits(fd)) await write(fd, bytes);
        else {
          await printed();
          printByNode(fd, bytes);
        }
      }
    }
    if (size < BULK_BYTES || !this.#waits) return;
    const now = performance.now();
    const again = now - this.#last < CLOSE_MILLISECONDS;
    this.#last = now;
    if (!again) return;
    await Bun.sleep(size < MUCH_BYTES ? LONG_MILLISECONDS : SHORT_MILLISECONDS);
    this.#last = performance.now();
  }

  /** Whether the output is a file, or nothing: no reader can make a write wait there. */
  #neverWaits(fd: number): boolean {
    let steady = this.#steady.get(fd);
    if (steady === undefined) this.#steady.set(fd, (steady = isSteady(fd)));
    return steady;
  }
}

/** Neighbouring pieces of the same stream together: fewer writes. */
export function runsOf(pieces: readonly RunPiece[]): OutputRun[] {
  const runs: OutputRun[] = [];
  let last: RunPiece["to"] | undefined;
  for (const { to, bytes } of pieces) {
    if (to === last) runs.at(-1)?.parts.push(bytes);
    else runs.push({ fd: to === "stderr" ? 2 : 1, parts: [bytes] });
    last = to;
  }
  return runs;
}

function isSteady(fd: number): boolean {
  try {
    const stat = node.fs.fstatSync(fd);
    return stat.isFile() || (stat.isCharacterDevice() && stat.rdev === NULL_DEVICE);
  } catch {
    return false;
  }
}

function joined(parts: readonly Uint8Array[]): readonly Uint8Array[] {
  return parts.length > 1 && parts.some((part) => part.length < SMALL_BYTES) ? [Buffer.concat(parts)] : parts;
}
