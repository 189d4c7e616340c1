import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { ByteStream } from "../transport/byte-stream.ts";
import { RUN_STREAM } from "../wire/run-messages.ts";
import { encodeFrame, STREAM } from "../wire/stdcopy.ts";
import { param, type Answer, type Call } from "./call.ts";
import { makeExec } from "./exec.ts";
import { ClientSink } from "./output-sink.ts";
import { failureOf, tell } from "./run-stream.ts";

/**
 * Ours: what a client's `exec` without input and terminal does in three requests (create, start, inspect), in one: `POST /lighter/containers/{id}/exec`, with a create's
 * body. It is refused as that create is; afterwards the stream tells all (`wire/run-messages.ts`).
 */
export async function execAtOnce(call: Call): Promise<Answer> {
  const id = await makeExec(call, param(call, "id"));
  // As with docker's requests one by one, nothing starts for a client that has gone meanwhile.
  if (call.signal.aborted) throw new LighterError("cancelled", "the client has closed the connection");
  return { hijack: { "Content-Type": RUN_STREAM }, run: (stream) => follow(call, stream, id) };
}

/** From the start to the end of the exec, or until the client leaves: the exec goes on then. */
async function follow({ engine: { containers } }: Call, stream: ByteStream, id: string): Promise<void> {
  // What a client sends here means nothing; reading is how its end is seen.
  stream.read(() => {}).catch((error: unknown) => logOf("api").debug("{id}: {error}", { id, error }));
  const sink = new ClientSink({ framed: true });
  sink.bind(stream);
  try {
    const attachment = await containers.startExec(id, { sink, tty: false });
    const left = stream.closed.then(() => "left" as const);
    const how = await Promise.race([attachment?.ended, left]);
    attachment?.detach();
    if (how === "left") return;
  } catch (error) {
    if (kindOf(error) !== "runtime") return tell(stream, { failed: failureOf(error) });
    // A program that cannot be run is told in the output, and by its exit code.
    stream.write(encodeFrame(STREAM.stdout, Buffer.from(`${messageOf(error)}\r\n`)));
  }
  tell(stream, { ended: { StatusCode: containers.inspectExec(id).ExitCode ?? 0 } });
}
