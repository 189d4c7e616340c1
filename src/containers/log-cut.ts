import { type FileHandle, open, rename, rm } from "node:fs/promises";

const NEWLINE = 0x0a;
const BLOCK = 1 << 20;

/**
 * Shortens a log that nobody writes to to its last `keep` bytes, from the beginning of a line on; at least half of it must go. The copy is made in
 * the background, and takes the log's place when it is complete; on a full disk it is made inside of the log itself.
 */
export async function cutLog(path: string, keep: number): Promise<void> {
  const source = await open(path, "r+");
  const aside = `${path}.cut`;
  try {
    const { size } = await source.stat();
    const from = await lineStart(source, size - keep, size);
    try {
      const target = await open(aside, "w", 0o600);
      try {
        await copy(source, from, size, target);
      } finally {
        await target.close();
      }
      await rename(aside, path);
    } catch (error) {
      await rm(aside, { force: true });
      if ((error as { code?: string }).code !== "ENOSPC") throw error;
      // What is copied lies behind what it is copied over.
      await copy(source, from, size, source);
      await source.truncate(size - from);
    }
  } finally {
    await source.close();
  }
}

/** Where the first line begins that lies behind `from`. */
async function lineStart(file: FileHandle, from: number, size: number): Promise<number> {
  const block = new Uint8Array(1 << 16);
  for (let at = Math.max(0, from - 1); at < size;) {
    const { bytesRead } = await file.read(block, 0, block.length, at);
    const newline = block.subarray(0, bytesRead).indexOf(NEWLINE);
    if (newline >= 0) return at + newline + 1;
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return size;
}

async function copy(source: FileHandle, from: number, to: number, target: FileHandle): Promise<void> {
  const block = new Uint8Array(BLOCK);
  for (let at = from; at < to;) {
    const { bytesRead } = await source.read(block, 0, Math.min(BLOCK, to - at), at);
    if (bytesRead === 0) return;
    for (let written = 0; written < bytesRead;)
      written += (await target.write(block, written, bytesRead - written, at - from + written)).bytesWritten;
    at += bytesRead;
  }
}
