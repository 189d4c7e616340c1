import { beginSync, must, readAt, writeAt } from "../linux/files.ts";
import { breathe, type JobContext } from "./job.ts";

const CHUNK = 1 << 20;
/** The disk begins with each so many bytes, in place of with all of them once they are awaited. */
const AHEAD = 2 << 20;

/** What the thread that writes a file is told: more bytes, that so much stands in the file already, or to tell the digest of all so far. */
export type WriteOrder = { data: Uint8Array<ArrayBuffer> } | { until: number } | "digest";

/** Writes the bytes that come over the line to the end of an open file, and hashes all that it holds from its beginning. */
export async function writeApartJob({ fd, size }: { fd: number; size: number }, { port, signal }: JobContext): Promise<null> {
  const file = { fd, size: 0, begun: size, hash: new Bun.CryptoHasher("sha256") };
  await readUntil(file, size, signal);
  for (;;) {
    const order = (await port.receive()) as WriteOrder | undefined;
    if (order === undefined) return null;
    if (order === "digest") await port.send(file.hash.copy().digest("hex"));
    else if ("until" in order) await readUntil(file, order.until, signal);
    else append(file, order.data);
  }
}

interface File {
  fd: number;
  size: number;
  /** Up to where the disk has begun with it. */
  begun: number;
  hash: Bun.CryptoHasher;
}

function append(file: File, data: Uint8Array<ArrayBuffer>): void {
  file.hash.update(data);
  must(writeAt(file.fd, data, file.size), "pwrite");
  file.size += data.length;
  if (file.size - file.begun >= AHEAD) {
    // What a file system does not know how to do, the sync at the end does.
    beginSync(file.fd, file.begun, file.size - file.begun);
    file.begun = file.size;
  }
  // At once, not when the garbage is collected: the next bytes from the network come into the same memory.
  data.buffer.transfer(0);
}

/** Hashes what stands in the file up to a position. */
async function readUntil(file: File, end: number, signal: AbortSignal): Promise<void> {
  const buffer = new Uint8Array(Math.min(CHUNK, Math.max(0, end - file.size)));
  while (file.size < end) {
    const got = must(readAt(file.fd, buffer.subarray(0, end - file.size), file.size), "pread");
    if (got === 0) return;
    file.hash.update(buffer.subarray(0, got));
    file.size += got;
    await breathe(signal);
  }
}
