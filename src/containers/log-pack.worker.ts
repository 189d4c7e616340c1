/** Compresses log files: see `log-packed.ts` for the form, `log-pack.ts` for who asks. */
import { closeSync, fstatSync, futimesSync, openSync, readSync, writeSync } from "node:fs";
import { crc32, deflateRawSync } from "node:zlib";
import type { PackDone, PackJob } from "./log-pack.ts";
import { MEMBER_HEADER, MEMBER_TEXT, MEMBER_TRAILER, memberHeader } from "./log-packed.ts";

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<PackJob>) => {
  let error: string | undefined;
  try {
    pack(data);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
  }
  self.postMessage({ job: data.job, error } satisfies PackDone);
};

function pack({ source, target }: PackJob): void {
  const fd = openSync(target, "w", 0o600);
  try {
    const text = Buffer.allocUnsafe(MEMBER_TEXT);
    for (let at = 0; ;) {
      const length = fill(source, text, at);
      if (length === 0) break;
      writeMember(fd, text.subarray(0, length));
      at += length;
    }
    const { atimeMs, mtimeMs } = fstatSync(source);
    futimesSync(fd, atimeMs / 1000, mtimeMs / 1000);
  } finally {
    closeSync(fd);
  }
}

function fill(source: number, text: Buffer, at: number): number {
  let length = 0;
  while (length < text.length) {
    const count = readSync(source, text, length, text.length - length, at + length);
    if (count === 0) break;
    length += count;
  }
  return length;
}

function writeMember(fd: number, text: Buffer): void {
  // Level 1: log lines repeat themselves, more work gains little.
  const deflated = deflateRawSync(text, { level: 1, chunkSize: 1 << 20 });
  const trailer = Buffer.alloc(MEMBER_TRAILER);
  trailer.writeUInt32LE(crc32(text), 0);
  trailer.writeUInt32LE(text.length, 4);
  const member = Buffer.concat([memberHeader(MEMBER_HEADER + deflated.length + MEMBER_TRAILER, text.length), deflated, trailer]);
  for (let done = 0; done < member.length;) done += writeSync(fd, member, done);
}
