import { unreadBytes } from "../linux/unread.ts";
import type { ByteStream } from "../transport/byte-stream.ts";

/** A client that stands still for so long gets its output all the same, in milliseconds. */
const PATIENCE = 1000;

/**
 * Resolves when the client has read the head of its answer. docker-py and others read it through a buffer that they throw away with all that came
 * behind it: output that is there already waits for this.
 * @param patience milliseconds after which a client that reads nothing is not waited for
 */
export async function headTaken(stream: ByteStream, patience = PATIENCE): Promise<void> {
  if (stream.fd === undefined) return;
  // What was just written leaves at the end of this turn.
  await new Promise(setImmediate);
  const begun = performance.now();
  for (let pause = 0; isUnread(stream) && performance.now() - begun < patience; pause = Math.min(10, pause + 1)) await Bun.sleep(pause);
}

function isUnread({ fd }: ByteStream): boolean {
  return fd !== undefined && unreadBytes(fd) > 0;
}
