import { node } from "./node.ts";

/** Exit code of a program whose reader has gone, as the shell shows death by SIGPIPE. */
const READER_GONE = 141;

/** Writes all of a text or of bytes to a descriptor before it returns. For what is short: it waits for a slow reader. */
export function print(fd: 1 | 2, text: string | Uint8Array): void {
  let rest = typeof text === "string" ? Buffer.from(text) : text;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(node.fs.writeSync(fd, rest));
    } catch (error) {
      onWriteError(error);
    }
  }
}

/** Writes all bytes to a descriptor without holding up the event loop; resolves when they are taken. */
export async function write(fd: number, bytes: Uint8Array): Promise<void> {
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

/** Waits a little when the descriptor was made non-blocking by somebody else and is full; ends the program when the reader is gone. */
function onWriteError(error: unknown): void {
  const code = (error as { code?: string }).code;
  if (code === "EAGAIN") return Bun.sleepSync(1);
  if (code === "EPIPE") process.exit(READER_GONE);
  throw error;
}
