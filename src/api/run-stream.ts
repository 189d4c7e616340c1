import { messageOf } from "../base/errors.ts";
import type { ByteStream } from "../transport/byte-stream.ts";
import type { RunMessage } from "../wire/run-messages.ts";
import { encodeFrame, STREAM } from "../wire/stdcopy.ts";
import { errorAnswer } from "./errors.ts";

/** Tells something of a run or an exec between its output, see `wire/run-messages.ts`. */
export function tell(stream: ByteStream, message: RunMessage): void {
  stream.write(encodeFrame(STREAM.system, Buffer.from(`${JSON.stringify(message)}\n`)));
}

/** What a start would have answered that failed so. */
export function failureOf(error: unknown): { status: number; message: string } {
  const answer = errorAnswer(error);
  return { status: "status" in answer ? answer.status : 500, message: messageOf(error) };
}
