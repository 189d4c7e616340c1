import { messageOf } from "../base/errors.ts";
import type { AnswerStream } from "../transport/exchange.ts";
import { encodeMessage, errorMessage } from "../wire/jsonstream.ts";
import type { ProgressMessage, ProgressSink } from "../wire/progress.ts";
import type { Answer } from "./call.ts";

/**
 * Runs something that tells its progress. What fails before the first message is thrown (and becomes a status), what fails later is told in the stream,
 * as the status is sent by then. Every message leaves at once.
 */
export async function progressAnswer(run: (progress: ProgressSink) => Promise<unknown>, options: { type?: string } = {}): Promise<Answer> {
  const early: ProgressMessage[] = [];
  const first = Promise.withResolvers<void>();
  let out: AnswerStream | undefined;
  const progress: ProgressSink = (message) => {
    if (out !== undefined) return void out.write(encodeMessage(message));
    early.push(message);
    first.resolve();
  };
  const finished = run(progress);
  // Whichever comes first; a later failure is taken up by the stream below.
  await Promise.race([first.promise, finished]).catch((error: unknown) => {
    if (early.length === 0) throw error;
  });
  return {
    status: 200,
    headers: { "Content-Type": options.type ?? "application/json" },
    stream: async (to) => {
      out = to;
      if (early.length > 0) to.write(early.map(encodeMessage).join(""));
      try {
        await finished;
      } catch (error) {
        to.write(encodeMessage(errorMessage(messageOf(error))));
      }
    },
  };
}
