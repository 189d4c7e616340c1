import { isTerminal } from "./is-terminal.ts";
import { node } from "./node.ts";

/** Exit code of a program whose reader has gone, as the shell shows death by SIGPIPE. */
const READER_GONE = 141;
/** So many bytes a pipe takes whole or not at all: PIPE_BUF of https://man7.org/linux/man-pages/man7/pipe.7.html */
const WHOLE = 4096;

/** How many bytes were printed to each descriptor. */
const taken = { 1: 0, 2: 0 };
/** Resolves when a pipe that somebody made non-blocking has taken what it was too full for; what is printed meanwhile waits behind it. */
let waiting: Promise<void> | undefined;

/**
 * Writes all of a text or of bytes to a descriptor before it returns (but for a full pipe that does not wait, see {@link printed}).
 * For what is short: it waits for a slow reader.
 */
export function print(fd: 1 | 2, text: string | Uint8Array): void {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  if (waiting !== undefined) later(waiting.then(() => printByNode(fd, bytes)));
  else if (isStream(fd) && !mayTakeParts(fd, bytes.length)) printAtOnce(fd, bytes);
  else printByNode(fd, bytes);
}

/** Resolves when all that was printed is written: to be waited for before this program ends. */
export async function printed(): Promise<void> {
  await waiting;
}

/** Writes all bytes to a descriptor without holding up the event loop; resolves when they are taken. */
export async function write(fd: number, bytes: Uint8Array): Promise<void> {
  if (waiting !== undefined) await waiting;
  let at = 0;
  while (at < bytes.length) {
    at += await new Promise<number>((resolve, reject) => {
      node.fs.write(fd, bytes, at, bytes.length - at, null, (error, written) => {
        if (!error) return resolve(written);
        try {
          onWriteError(error);
          resolve(0);
        } catch (other) {
          reject(other instanceof Error ? other : new Error(String(other)));
        }
      });
    });
  }
}

/** Whether a descriptor is a pipe or a socket: `Bun.write` writes to files by a thread, and a terminal may take a piece in parts. */
function isStream(fd: 1 | 2): boolean {
  return fileOf(fd).size === Number.POSITIVE_INFINITY && !isTerminal(fd);
}

/**
 * Whether a descriptor is a socket that may be full: one of TCP then takes a part of a piece, and which, `Bun.write` does not know. The first bytes it has room for.
 * Sockets have no time of change, pipes do.
 */
function mayTakeParts(fd: 1 | 2, length: number): boolean {
  taken[fd] += length;
  return taken[fd] > WHOLE && fileOf(fd).lastModified === 0;
}

function fileOf(fd: 1 | 2): Bun.BunFile {
  return fd === 1 ? Bun.stdout : Bun.stderr;
}

/**
 * By `Bun.write`, which has written to a pipe when it returns, and needs no `node:fs` (more than a millisecond to load).
 * A full one that does not wait is tried again by a thread, from the piece's first byte: pieces are no longer than what is taken whole.
 */
function printAtOnce(fd: 1 | 2, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += WHOLE) {
    const writing = Bun.write(fileOf(fd), bytes.subarray(at, at + WHOLE));
    const state = Bun.peek.status(writing);
    if (state === "fulfilled") continue;
    writing.catch(() => {});
    if (state === "rejected") return onWriteError(Bun.peek(writing));
    return later(writing.then(() => printByNode(fd, bytes.subarray(at + WHOLE)), onWriteError));
  }
}

function later(writing: Promise<void>): void {
  writing.catch(() => {});
  waiting = writing;
}

/** Writes all bytes before it returns, whatever the descriptor is. What was printed before has to be written (see {@link printed}). */
export function printByNode(fd: 1 | 2, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(node.fs.writeSync(fd, rest));
    } catch (error) {
      onWriteError(error);
    }
  }
}

/** Waits a little when the descriptor was made non-blocking by somebody else and is full; ends the program when the reader is gone. */
function onWriteError(error: unknown): void {
  const code = (error as { code?: string }).code;
  if (code === "EAGAIN") return Bun.sleepSync(1);
  if (code === "EPIPE") process.exit(READER_GONE);
  throw error;
}
